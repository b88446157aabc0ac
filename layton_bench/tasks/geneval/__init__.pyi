from .judging import (
    COLORS as COLORS,
    TASKS as TASKS,
    Clause as Clause,
    Color as Color,
    Instance as Instance,
    Judgement as Judgement,
    Relation as Relation,
    Rules as Rules,
    ScenePrompt as ScenePrompt,
    judge as judge,
    relations as relations,
)
from .layout import (
    Layout as Layout,
    PromptFolder as PromptFolder,
    plan_layout as plan_layout,
    read_layout as read_layout,
    sample_name as sample_name,
)
from .metrics import DEMANDS as DEMANDS, FAMILY as FAMILY, METRICS as METRICS, verdict as verdict
from .prompts import (
    DATASET as DATASET,
    IMAGES_PER_PROMPT as IMAGES_PER_PROMPT,
    demand as demand,
    digest as digest,
    official_prompts as official_prompts,
    read_prompts as read_prompts,
    variant_of as variant_of,
)
from .scores import (
    Completeness as Completeness,
    GenevalSummary as GenevalSummary,
    ImageResult as ImageResult,
    completeness as completeness,
    mean_of_tasks as mean_of_tasks,
    read_results as read_results,
    results_text as results_text,
    summarise as summarise,
    task_score as task_score,
)
