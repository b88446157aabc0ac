from .judging import (
    Instance as Instance,
    Judgement as Judgement,
    Rules as Rules,
    judge as judge,
    relations as relations,
)
from .layout import (
    Layout as Layout,
    PromptFolder as PromptFolder,
    read_layout as read_layout,
    sample_name as sample_name,
    sample_path as sample_path,
    write_metadata as write_metadata,
)
from .metrics import METRICS as METRICS, verdict as verdict
from .prompts import (
    COLORS as COLORS,
    DATASET as DATASET,
    IMAGES_PER_PROMPT as IMAGES_PER_PROMPT,
    TASKS as TASKS,
    Clause as Clause,
    Color as Color,
    Relation as Relation,
    ScenePrompt as ScenePrompt,
    demand as demand,
    digest as digest,
    official_prompts as official_prompts,
    read_prompts as read_prompts,
    variant_of as variant_of,
)
from .results import (
    FAMILY as FAMILY,
    ImageResult as ImageResult,
    read_results as read_results,
    results_of as results_of,
    results_text as results_text,
)
from .scores import (
    Completeness as Completeness,
    GenevalSummary as GenevalSummary,
    completeness as completeness,
    summarise as summarise,
)
