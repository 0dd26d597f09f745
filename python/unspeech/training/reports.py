"""Lines of `train_log.jsonl`, read again."""

import json


def report_of(line: str) -> dict | None:
    """A report of training; None for half a line, from a kill, or a damaged one."""
    try:
        report = json.loads(line)
        float(report["step"]), float(report["seconds"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return report
