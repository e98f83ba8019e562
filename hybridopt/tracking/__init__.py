"""What a run reports: a journal in the run's directory first, MLflow behind it.

* :mod:`~hybridopt.tracking.tracker`: what the rest of the program uses
* :mod:`~hybridopt.tracking.logger`: the same for Lightning's callbacks
* :mod:`~hybridopt.tracking.journal`: the truth, a file that only grows
* :mod:`~hybridopt.tracking.writer`: the thread that delivers the journal to MLflow
* :mod:`~hybridopt.tracking.store`: MLflow's stores and experiments, and how they are created safely

Nothing here imports torch or mlflow before it is needed; only ``logger`` imports Lightning.
"""
