"""The settings of the bundled trainer: the model, the optimizer, the run.

Guarantee: settings that exist do not contradict one another. What a preset of the model says holds where a setting is left out.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tokenmill.pipeline.config.section import About, Section

Preset = Literal["gpt2", "modern", "llama"]
Norm = Literal["layer", "rms"]
Positions = Literal["learned", "sinusoidal", "rope"]
MLP = Literal["gelu", "relu2", "swiglu"]
Initialisation = Literal["gpt2", "normal", "zero_projections"]
Schedule = Literal["cosine", "linear", "wsd"]
OptimizerName = Literal["adamw", "muon"]
Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]
Attention = Literal["document", "window"]
Objective = Literal["causal", "masked", "spans", "instructions", "classes"]

TEMPLATE = r"User: {user}\nAssistant: {assistant}\n"
"""How a conversation is written where nobody says otherwise."""
EXAMPLE_FILE = "chat.jsonl"
FROM_EXAMPLES: tuple[Objective, ...] = ("instructions", "classes")
"""Objectives that read a file of examples and begin with the corpus's causal model."""

MOST = 2**31 - 1
"""Of every count and size."""
SMALLEST, LARGEST = 1e-18, 1e18
"""Of every other number that is not 0: the trainer computes in float32, which holds their squares."""


class TrainConfig(Section):
    """The bundled GPT trainer. With the defaults the loss falls visibly in about a minute on two CPU cores. Counts are at most
    2,147,483,647; other numbers are 0 or from 1e-18 to 1e18, with which float32 computes.
    """

    objective: Objective = "causal"
    """What the model learns. causal: the next token. masked: hidden tokens, and whether two texts follow one another (as BERT).
    spans: hidden spans (as T5). instructions: the answers of `examples`. classes: the labels of `examples`. Each has a folder
    of its own below `model`; the last two begin with the causal model, whose sizes and parts they keep."""
    masked_share: Annotated[float, About(unit="share of tokens")] = Field(default=0.15, gt=0, lt=1)
    """For masked and spans: the part of the tokens that is hidden."""
    span_tokens: float = Field(default=3.0, ge=1)
    """For spans: tokens of a span, on average."""
    examples: Annotated[str | None, About(example=EXAMPLE_FILE)] = None
    """For instructions and classes: a JSONL file. A line is {"messages": [{"role": ..., "content": ...}, ...]}, or has
    "instruction" and "output" or "prompt" and "completion"; for classes it has "text" and "label"."""
    template: str = TEMPLATE
    """For instructions: how a question and its answer are written, with {user} and {assistant} in their places."""
    held_out: Annotated[float, About(unit="share of examples")] = Field(default=0.05, ge=0, lt=1)
    """For instructions and classes: the part of the examples that is kept for validation, chosen by a hash of each."""
    model: Preset = "modern"
    """Parts of the model. gpt2: those of GPT-2. modern: RMSNorm, rotary positions, QK-norm, squared ReLU, a head of its own.
    llama: RMSNorm, rotary positions, SwiGLU. The settings from `hidden` to `initialisation` change single parts."""
    layers: int = Field(default=4, ge=1)
    """Transformer layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads per layer."""
    width: Annotated[int, About(unit="components")] = Field(default=128, ge=1)
    """Width of the embeddings. It must be a multiple of `heads`."""
    hidden: Annotated[int | None, About(unit="components", example=512)] = Field(default=None, ge=1)
    """Width inside the MLP. Default: 4 times `width`; in SwiGLU, which has a third matrix, 8/3 times, rounded up to 64."""
    kv_heads: Annotated[int | None, About(example=2)] = Field(default=None, ge=1)
    """Heads of keys and values, each shared by `heads` / `kv_heads` heads of queries. Default: `heads`."""
    norm: Annotated[Norm | None, About(example="rms")] = None
    """Normalisation. layer: LayerNorm. rms: RMSNorm. Default: that of `model`."""
    positions: Annotated[Positions | None, About(example="rope")] = None
    """How the model sees positions. learned: a vector for each. sinusoidal: fixed vectors. rope: queries and keys are turned by
    their position. Default: that of `model`."""
    mlp: Annotated[MLP | None, About(example="swiglu")] = None
    """Activation of the MLP: gelu, relu2 (squared ReLU) or swiglu. Default: that of `model`."""
    qk_norm: Annotated[bool | None, About(example=True)] = None
    """Normalise queries and keys. Default: as in `model`."""
    biases: Annotated[bool | None, About(example=False)] = None
    """Biases in linear layers and LayerNorm. Default: as in `model`."""
    tied: Annotated[bool | None, About(example=True)] = None
    """True: the head is the token embedding. Default: as in `model`."""
    soft_cap: Annotated[float | None, About(unit="nats", example=15.0)] = Field(default=None, ge=0)
    """Logits stay between minus and plus this, by tanh; 0 for no bound. Default: that of `model`."""
    unigram_offset: Annotated[bool | None, About(example=True)] = None
    """Begin with logits at the log frequency of each token, so that the model need not learn it. Default: as in `model`."""
    sliding_window: Annotated[int | None, About(unit="tokens", example=512)] = Field(default=None, ge=1)
    """A token attends to at most so many tokens, itself included. Default: to all before it."""
    initialisation: Annotated[Initialisation | None, About(example="gpt2")] = None
    """Of matrices. gpt2: normal, smaller where they add to the residual stream. normal: normal. zero_projections: zero there.
    Default: that of `model`."""
    norm_epsilon: Annotated[float | None, About(example=1e-6)] = Field(default=None, gt=0)
    """What normalisations add to the mean of squares before its root. Default: 1e-5."""
    rope_base: Annotated[float | None, About(example=500_000.0)] = Field(default=None, gt=0)
    """With rotary positions: the base of the powers by which pairs turn; larger ones suit longer contexts. Default: 10,000."""
    context_tokens: int = Field(default=128, ge=2)
    """Context length in tokens."""
    batch_windows: int = Field(default=8, ge=1)
    """Windows of `context_tokens` tokens that go through the model at once."""
    accumulate: Annotated[int, About(unit="batches")] = Field(default=1, ge=1)
    """Batches per update of the weights."""
    ramp_steps: Annotated[int, About(unit="updates")] = Field(default=0, ge=0, le=1_000_000)
    """Updates, at most 1,000,000, in which the batch grows evenly from one of `accumulate` batches to all of them. 0: it has
    all from the first."""
    steps: Annotated[int, About(unit="updates")] = Field(default=300, ge=1)
    """Updates of the weights in the run."""
    optimizer: OptimizerName = "muon"
    """Optimizer: adamw; or muon, for the matrices of the layers, and adamw for the rest. A run keeps to it."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate of AdamW, reached after the warm-up. Larger models need lower ones."""
    min_learning_rate: float = Field(default=3e-4, ge=0)
    """Learning rate of AdamW at the end of the run."""
    muon_learning_rate: float = Field(default=0.02, gt=0)
    """Peak learning rate of Muon. It rises and falls as that of AdamW does."""
    schedule: Schedule = "wsd"
    """How the rate falls: cosine or linear from the warm-up to the end; wsd (warm-up, stable, decay): it stays, and falls
    linearly in the last part of the run."""
    decay_fraction: float = Field(default=0.4, gt=0, le=1)
    """With wsd: the part of the run, at its end, in which the rate falls."""
    warmup_steps: Annotated[int, About(unit="updates")] = Field(default=30, ge=0)
    """Updates in which the learning rate rises linearly to the peak."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Weight decay of matrices. Biases and normalisations have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm."""
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the squared logarithm of the softmax's denominator in the loss. It keeps logits from drifting."""
    dropout: Annotated[float, About(unit="probability")] = Field(default=0.0, ge=0, lt=1)
    """Dropout probability in training."""
    evaluate_every: Annotated[int, About(unit="updates")] = Field(default=50, ge=1)
    """Updates between two evaluations."""
    evaluate_windows: int = Field(default=32, ge=1)
    """Windows of the validation split that an evaluation reads. The last evaluation reads the whole split."""
    checkpoint_every: Annotated[int, About(unit="updates")] = Field(default=100, ge=1)
    """Updates between two checkpoints."""
    align_documents: bool = False
    """True: a window begins at the start of a document, or continues a long document. An epoch then reads some tokens twice
    and skips others."""
    attention: Attention = "document"
    """document: a token attends to earlier tokens of its own document, and positions count from the document's start. window:
    a token attends to all earlier tokens of its window, whatever document they belong to."""
    weights: Annotated[Mapping[str, Annotated[float, Field(ge=0)]], About(example={"web": 2.0, "books": 1.0})] = {}
    """Sampling weights of sources, in any unit: only their ratios matter. Name every source; 0 leaves one out. Empty: all text
    is read equally often."""
    most_epochs: Annotated[float | None, About(example=4.0)] = Field(default=None, gt=0)
    """Upper bound on how often each source is read in `steps` updates. A source too small for its weight gives less, and the
    others give more. Default: no limit."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the run."""
    precision: Precision = "auto"
    """Of matrix products: float32, tf32, bfloat16, or float16 with loss scaling. auto: bfloat16 on a GPU that has it, else
    float32. In bfloat16 what goes from layer to layer is bfloat16, too."""
    recompute: bool = False
    """Compute the activations of each layer again in the backward pass: less memory, a third more time."""
    loss_chunk_tokens: Annotated[int | None, About(example=4096)] = Field(default=None, ge=1)
    """Tokens whose logits exist at a time, and again in the backward pass. Default: those of a batch."""
    tensorboard: bool = False
    """True: also write what the log says to `model/tensorboard`, as events that TensorBoard shows."""
    compile: bool = False
    """Compile each layer and the loss with torch.compile: faster after some hundred updates, above all on a GPU, where it also
    takes half the memory. It needs g++ on the CPU, and gcc, clang or cc on a GPU."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto, cpu, mps, cuda or cuda:N. auto: a GPU if there is one, else the CPU."""
    data_parallel: Annotated[int | None, About(unit="processes", example=4)] = Field(default=None, ge=1)
    """Copies of the model, each of which reads a part of an update's samples. Default: as many as there are processes for. This
    times the next three settings is the number of processes that `torchrun` starts."""
    shard: Annotated[int, About(unit="processes")] = Field(default=1, ge=1)
    """Processes that hold a part of each weight, gradient and moment (FSDP), and read a part of the samples each."""
    tensor_parallel: Annotated[int, About(unit="processes")] = Field(default=1, ge=1)
    """Processes that compute a part of each matrix product (tensor parallelism), of the same samples."""
    pipeline_parallel: Annotated[int, About(unit="processes")] = Field(default=1, ge=1)
    """Processes that hold some of the layers each. The batches of an update go from one to the next: `accumulate` should be a
    multiple of this, and better four times."""
    peak_teraflops: Annotated[float | None, About(unit="teraflops", example=989.0)] = Field(default=None, gt=0)
    """What the device computes at most, in 10^12 floating-point operations per second in `precision`. The log then says which
    part of it the training uses. Default: known for some GPUs in bfloat16 and float16."""
    sample_tokens: int = Field(default=40, ge=0)
    """Tokens that the model says at each evaluation, from the beginning of a document, for the log. 0: none."""

    @field_validator("*")
    @classmethod
    def _in_reach(cls, value: Any, info: ValidationInfo) -> Any:
        for number in value.values() if isinstance(value, Mapping) else [value]:
            if isinstance(number, float) and number and not SMALLEST <= abs(number) <= LARGEST:
                raise ValueError(f"is beyond the numbers that float32 computes with, {SMALLEST} to {LARGEST} (given: {number})")
            if type(number) is int and number > MOST and info.field_name != "seed":
                raise ValueError(f"must be at most {MOST:,} (given: {number})")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        if self.objective in FROM_EXAMPLES and self.examples is None:
            raise ValueError(
                f'objective = "{self.objective}" needs examples: name a JSONL file, as examples = "{EXAMPLE_FILE}"'
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate ({self.min_learning_rate}) is above learning_rate ({self.learning_rate})")
        return self

    def batches(self, step: int) -> int:
        """The batches of update number `step`, from 0."""
        return self.accumulate if step >= self.ramp_steps else 1 + (self.accumulate - 1) * step // self.ramp_steps

    def samples_before(self, step: int) -> int:
        """The samples that the updates before number `step` read."""
        growing = min(step, self.ramp_steps)
        return self.batch_windows * (sum(map(self.batches, range(growing))) + self.accumulate * (step - growing))
