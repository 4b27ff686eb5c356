"""Which of a run's processes this one is; rank 0 makes the run folder and writes, the others only compute."""

import os

LONE_JOBS = ("bash", "interactive")  # names of SLURM jobs in which a person types commands


def rank() -> int:
    """Return this process's number among all of a run, as torchrun, SLURM or followers.py said; alone 0."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    return int(os.environ["SLURM_PROCID"]) if _is_srun() else 0


def started_together() -> int:
    """Return how many processes torchrun or srun started for this run; 1 where a person started one."""
    if "RANK" in os.environ:  # of torchrun, or of another program that tells processes the same way
        return int(os.environ.get("WORLD_SIZE", "1"))
    return int(os.environ["SLURM_NTASKS"]) if _is_srun() else 1


def _is_srun() -> bool:
    alone = os.environ.get("SLURM_JOB_NAME") in LONE_JOBS
    return not alone and int(os.environ.get("SLURM_NTASKS", "1")) > 1
