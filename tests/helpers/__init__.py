"""What several tests share: programs as users call them, made-up data, models, queues."""
