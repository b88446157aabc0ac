from .execution import (
    Outcome as Outcome,
    execute as execute,
    run as run,
)
from .folders import score as score
from .gap import Explanation as Explanation, explain_gap as explain_gap
from .generate import (
    draw as draw,
    find_artist as find_artist,
    plan_layout as plan_layout,
    plan_pictures as plan_pictures,
)
from .geneval_folder import score_folder as score_folder
from .picture_files import file_name as file_name, write_grid as write_grid
from .plan import Overwrite as Overwrite, RunOptions as RunOptions, make_plan as make_plan
from .speed.time_models import load as load, time_models as time_models
from .speed.timing import Effort as Effort, Ratio as Ratio, Speed as Speed
from .sweeps import draw_curves as draw_curves, sweep as sweep, table as table
