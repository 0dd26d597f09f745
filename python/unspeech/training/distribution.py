"""Training on several GPUs of a host and on several hosts: all share the batch of a step.

A replica is the model on one device; all hold the same weights. Each draws the whole batch of a
step, as the drawing depends on the seed and the step alone, embeds its part of the windows, and
gathers the embeddings of all, since pairs join windows of the whole batch. So every replica
computes the same loss L of the whole batch. The gradient of a gathered embedding is the sum of what
all replicas derive for it, so the mean over replicas of their gradients is that of L, for weights
that embed windows as well as for those that L depends on otherwise. The loss curve is that of one
device, up to rounding.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.network.backend import tf

MEETING_SECONDS = 3600  # that a worker waits for the others' jobs to start
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


@dataclass(frozen=True)
class Replicas:
    """The devices that train together.

    Attributes:
        strategy: TensorFlow's.
        workers: processes that take part.
        worker: which of them this is, from 0, the chief, which alone writes the model directory.
    """

    strategy: tf.distribute.Strategy
    workers: int = 1
    worker: int = 0

    @property
    def count(self) -> int:
        """Devices of all workers."""
        return self.strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def run(self, step: Callable, *arguments):
        """Call a function on every replica; returns what the first one here returns."""
        results = self.strategy.run(step, arguments)
        return tuple(self.strategy.experimental_local_results(each)[0] for each in results)

    def of_chief(self, value: float) -> float:
        """The chief's value, for what workers would see differently, such as the time."""
        if self.workers == 1:
            return value
        return float(_of_first(self.strategy, tf.constant(value, tf.float64)))


@tf.function
def _of_first(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    def contribution():
        context = tf.distribute.get_replica_context()
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        own = tf.where(is_first, value, tf.zeros_like(value))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    return strategy.experimental_local_results(strategy.run(contribution))[0]


def mean_gradients(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The mean of the gradients of all replicas, on each of them."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)


def apply_gradients(optimizer: tf.keras.optimizers.Optimizer, gradients, weights) -> None:
    """Have an optimizer, which adds up what replicas give it, apply gradients that all have."""
    count = tf.distribute.get_replica_context().num_replicas_in_sync
    if count > 1:
        gradients = [gradient / count for gradient in gradients]
    optimizer.apply_gradients(zip(gradients, weights, strict=True))


def join_replicas(gpus: int, workers: int, worker: int, directory: Path) -> Replicas:
    """Find the devices to train on. To be called before TensorFlow computes anything.

    The workers are those of TF_CONFIG, the tasks of a Slurm step (`srun -n 2 …`), or `workers`
    processes that meet by their addresses in a directory.

    Args:
        gpus: of each worker.
        workers: processes that meet in `directory`; 1 for no meeting.
        worker: which of them this is, from 1.
        directory: empty at first, and seen by all workers.
    Raises:
        UnspeechError: when there are fewer GPUs, or the other workers do not come.
    """
    devices = devices_of_host(gpus)
    resolver = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        found = resolver.TFConfigClusterResolver()
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        # Slurm has given every task its GPUs, so none are to be divided among tasks.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        found = resolver.SlurmClusterResolver(
            gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
    elif workers > 1:
        addresses = meet(directory, workers, worker)
        found = resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": addresses}), task_type="worker", task_id=worker - 1
        )
    elif len(devices) > 1:
        return Replicas(tf.distribute.MirroredStrategy(devices))
    else:
        return Replicas(tf.distribute.get_strategy())
    cluster = found.cluster_spec()  # asked first, as Slurm's resolver finds the task by it
    addresses = [address for job in sorted(cluster.jobs) for address in cluster.job_tasks(job)]
    own = cluster.task_address(found.task_type, found.task_id)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        resolver.SimpleClusterResolver(
            cluster,
            task_type=found.task_type,
            task_id=found.task_id,
            num_accelerators={"GPU": len(devices)},
            rpc_layer="grpc",
        )
    )
    return Replicas(strategy, len(addresses), addresses.index(own))


def devices_of_host(gpus: int) -> list[str]:
    """The GPUs to train on; none where there are none and one was asked for.

    Raises:
        UnspeechError: when there are fewer.
    """
    present = tf.config.list_physical_devices("GPU")
    if len(present) < gpus and gpus > 1:
        raise UnspeechError(f"--num-gpus {gpus}: this job sees {len(present)} GPUs only")
    if len(present) > gpus:
        tf.config.set_visible_devices(present[:gpus], "GPU")  # else it takes the memory of all
    return [f"GPU:{i}" for i in range(min(gpus, len(present)))]


def meet(directory: Path, workers: int, worker: int) -> list[str]:
    """Exchange addresses with the other workers by files, which works with any queue.

    Returns: `<host>:<free port>` of each worker.
    Raises:
        UnspeechError: when one of them has not come after an hour.
    """
    with socket.socket() as probe:
        probe.bind(("", 0))
        address = f"{socket.gethostname()}:{probe.getsockname()[1]}"
    with atomic_write(directory / str(worker)) as file:
        file.write(address)
    print(f"Worker {worker} of {workers}, {address}, waits for the others", flush=True)
    files = [directory / str(number) for number in range(1, workers + 1)]
    until = time.monotonic() + MEETING_SECONDS
    while missing := [file.name for file in files if not file.exists()]:
        if time.monotonic() > until:
            raise UnspeechError(
                f"{directory}: after {MEETING_SECONDS // 60} minutes no sign of worker "
                f"{', '.join(missing)}; ask for fewer workers, or when the queue has room for all"
            )
        time.sleep(0.2)
    return [file.read_text() for file in files]
