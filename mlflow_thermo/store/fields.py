"""What an index and its parts may say, every field on its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError

from mlflow_thermo.schema import DTYPES, FULL, PROTOCOLS, SCHEMA_VERSION, STORAGES, Chunk
from mlflow_thermo.store.files import StoreError, named, shown
from mlflow_thermo.store.parts import Entries

REMEDY = "fetch it again, or train the run again"


def moderate(value: float) -> float:
    """A number whose square and inverse are numbers too, or 0."""
    if value and not 1e-100 <= abs(value) <= 1e100:
        raise ValueError("Input should lie between 1e-100 and 1e100")
    return value


Whole = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
#: No smaller than any seed of 64 bits, with or without a sign.
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = Annotated[float, Field(allow_inf_nan=False), AfterValidator(moderate)]
Above = Annotated[Value, Field(gt=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Steps = Annotated[list[Positive], FailFast()]
Losses = Annotated[list[Finite | None], FailFast()]


class _Strict(BaseModel):
    """No type is converted, no field ignored."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Slice(_Strict):
    name: str
    shape: Annotated[list[Whole], Field(max_length=64)]
    offset: Whole
    size: Whole


class _Chunk(_Strict):
    file: str
    first_step: Positive
    last_step: Positive
    n_snapshots: Positive
    bytes: Positive
    sha256: Digest


class PartEntry(_Strict):
    """What an index says of one of its parts."""

    file: str
    n_chunks: Positive
    n_snapshots: Positive
    bytes: Positive
    sha256: Digest


class _Entries(_Strict):
    steps: Steps
    loss: Losses
    loss_mean: Losses
    chunks: Annotated[list[_Chunk], FailFast()]

    def typed(self) -> Entries:
        """As the index has them."""
        chunks = tuple(Chunk(**vars(chunk)) for chunk in self.chunks)
        return Entries(tuple(self.steps), tuple(self.loss), tuple(self.loss_mean), chunks)


class PartFile(_Entries):
    """What a part says."""

    series: str
    number: Whole


class Attributes(BaseModel):
    """What the analysis reads of the attributes; the others are the user's own."""

    model_config = ConfigDict(strict=True, extra="ignore")
    set_temperature: Above | None = None
    uniform_loss: Value | None = None
    uniform_loss_std: Annotated[Value, Field(ge=0)] | None = None
    minibatch_squares: Annotated[list[Value], FailFast()] = []


class Fields(_Entries):
    """What an ``index.json`` says."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)]
    series: str
    d: Positive
    dtype: Literal[tuple(DTYPES)]  # type: ignore[valid-type]
    protocol: Literal[PROTOCOLS]  # type: ignore[valid-type]
    lr: Above | None = None
    seed: Seed | None = None
    layout: Annotated[list[_Slice], FailFast()]
    complete: bool = False
    chains: Positive = 1
    parts: Annotated[list[PartEntry], FailFast()] = []
    attributes: dict[str, Any] = {}
    storage: Literal[STORAGES[1:]] = FULL  # type: ignore[valid-type]
    sketch_dim: Whole = 0
    sketch_error: Annotated[Value, Field(ge=0)] | None = None
    checksum: Digest | None = None


Model = TypeVar("Model", bound=BaseModel)


def modelled(model: type[Model], raw: dict[str, Any], label: str) -> Model:
    """What JSON says, or StoreError that names the first field that is missing, unknown or of another kind."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        # Without its cause, which would hold the whole index.
        raise StoreError(f"{label}: {_first(error)}: {REMEDY}") from None


def _first(error: ValidationError) -> str:
    """Field and reason of the first error."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    if error.title == Attributes.__name__:
        place.insert(0, "attributes")
    given = "" if first["type"] == "missing" else f", got {shown(first['input'])}"
    return f"field {named('.'.join(place))}: {first['msg'].removeprefix('Value error, ')}{given}"
