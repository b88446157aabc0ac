from .accuracy import (
    TaskAccuracy as TaskAccuracy,
    TaskScore as TaskScore,
    Verdict as Verdict,
    mean_of_tasks as mean_of_tasks,
    task_score as task_score,
)
