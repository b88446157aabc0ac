from .accuracy import TaskAccuracy as TaskAccuracy, Verdict as Verdict
