"""What a run reports: a journal in the run's directory first, MLflow behind it.

* :mod:`~hybridopt.tracking.tracker`: what the rest of the program uses
* :mod:`~hybridopt.tracking.identity`: which MLflow run a directory belongs to
* :mod:`~hybridopt.tracking.delivery`: what a store has missed, delivered later
* :mod:`~hybridopt.tracking.reading`, :mod:`~hybridopt.tracking.sweeps`: runs read back, and the parents of sweeps
* :mod:`~hybridopt.tracking.tables`: many runs of a database at once
* :mod:`~hybridopt.tracking.provenance`: user and commit
* :mod:`~hybridopt.tracking.logger`: the same for Lightning's callbacks
* :mod:`~hybridopt.tracking.journal`: the truth, a file that only grows
* :mod:`~hybridopt.tracking.operations`: what one of its lines may say
* :mod:`~hybridopt.tracking.checked`: files that are read, or told to be damaged
* :mod:`~hybridopt.tracking.writer`: the thread that delivers the journal to MLflow
* :mod:`~hybridopt.tracking.store`: MLflow's stores and experiments, and how they are created safely
* :mod:`~hybridopt.tracking.patience`: a server that fails is asked again

Nothing here imports torch or mlflow before it is needed; only ``logger`` imports Lightning.
"""
