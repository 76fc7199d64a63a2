"""The scenario schema: frozen models whose fields are exactly what a YAML file may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from channel import CHANNELS, LAYOUTS, MOBILITIES, PLACEMENTS
from channel.antenna import AntennaArray, UeArray
from channel.component import Settings
from channel.layout import Layout, Placement
from channel.mobility import Mobility
from channel.model import ChannelModel
from channel.quantities import (
    BandwidthHz,
    CarrierHz,
    HeightM,
    NoiseFigureDb,
    PowerDbm,
    SubcarrierSpacingHz,
)
from ran.energy import GnbPower
from ran.fidelity import Fidelity
from ran.handover import Handover
from ran.learning import (
    ADAPTERS,
    AGGREGATORS,
    ALGORITHMS,
    ATTACKS,
    ENGINES,
    FREEZINGS,
    HIERARCHIES,
    LOSS_RECOVERIES,
    MODELS,
    PARTICIPATIONS,
    PARTITIONS,
    TASKS,
    TRANSPORTS,
)  # fmt: skip
from ran.learning import SCHEDULES as LEARNING_SCHEDULES
from ran.learning.adapters import Adapter
from ran.learning.aggregation import Aggregator
from ran.learning.algorithms.algorithm import Algorithm
from ran.learning.attacks import Attack
from ran.learning.compression import Compression
from ran.learning.engines import Engine
from ran.learning.freezing import Freezing
from ran.learning.gkt import FedGkt
from ran.learning.hierarchy import Hierarchy
from ran.learning.loss_recovery import LossRecovery
from ran.learning.models import Model
from ran.learning.participation import Participation
from ran.learning.partition import Partition
from ran.learning.privacy import Privacy
from ran.learning.quarantine import Quarantine
from ran.learning.schedules import Schedule
from ran.learning.split.settings import SplitLearning
from ran.learning.tasks.task import Task
from ran.learning.transport.transport import Transport
from ran.mac import SCHEDULERS
from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.mac.scheduler import Scheduler
from ran.mac.sharing import SHARINGS, Sharing
from ran.mac.slicing import Slice
from ran.nodes import DeviceProfile, DeviceShare
from ran.numerology import Overhead
from ran.phy.mimo import Mimo
from ran.phy.power_control import PowerControl
from ran.phy.precoding import PRECODERS, Precoder
from ran.rlc import Rlc
from ran.traffic import TRAFFIC, Traffic
from scenarios.rules import broken_rules


class RadioSettings(Settings):
    """The carrier: frequency, bandwidth, numerology and duplex."""

    carrier_hz: CarrierHz = 3.5e9
    bandwidth_hz: BandwidthHz = 20e6
    subcarrier_spacing_hz: SubcarrierSpacingHz = 30e3
    duplex: Literal["tdd", "fdd"] = Field(
        default="tdd", description="tdd: one carrier by tdd_pattern; fdd: one carrier down and one up"
    )
    tdd_pattern: str = Field(
        default="DDDSU", pattern="^[DSU]{1,160}$", description="slots of one TDD period: D down, S special, U up"
    )
    overhead: Overhead = Overhead()
    rbg_configuration: Literal[1, 2] = Field(
        default=1, description="size of resource block groups: TS 38.214 table 5.1.2.2.1-1, configuration 1 or 2"
    )
    interfering_cells: int | None = Field(
        default=None, ge=1, description="strongest cells that interfere with a UE group by group; null: all"
    )
    threads: int = Field(default=1, ge=1, le=256, description="threads of the radio part")


class GnbSettings(Settings):
    """Radio of every cell."""

    tx_power_dbm: PowerDbm = 33.0
    noise_figure_db: NoiseFigureDb = 5.0
    height_m: HeightM = 10.0
    downtilt_deg: float = Field(default=0.0, ge=-90, le=90, description="mechanical downtilt, degrees")
    antenna: AntennaArray = AntennaArray()
    power: GnbPower = GnbPower()


class SitesSettings(Settings):
    """Where the cells stand and what each transmits."""

    layout: Annotated[Layout, LAYOUTS.field()] = LAYOUTS.get("hexagonal")()
    gnb: GnbSettings = GnbSettings()


class UesSettings(Settings):
    """The UEs: how many, where, how they move, their radio and their processor."""

    count: int = Field(default=8, ge=1, le=100_000, description="number of UEs")
    placement: Annotated[Placement, PLACEMENTS.field()] = PLACEMENTS.get("disc")()
    mobility: Annotated[Mobility, MOBILITIES.field()] = MOBILITIES.get("linear")()
    height_m: HeightM = 1.5
    tx_power_dbm: PowerDbm = 23.0
    noise_figure_db: NoiseFigureDb = 9.0
    antenna: UeArray = UeArray()
    device: DeviceProfile = DeviceProfile()
    devices: tuple[DeviceShare, ...] = Field(
        default=(), max_length=100, description="kinds of devices and their shares, instead of device alike for all"
    )


class MacSettings(Settings):
    """Scheduling, MIMO, link adaptation, HARQ, uplink power control and mobility."""

    scheduler: Annotated[Scheduler, SCHEDULERS.field()] = SCHEDULERS.get("proportional_fair")()
    link_adaptation: LinkAdaptation = LinkAdaptation()
    harq: Harq = Harq()
    power_control: PowerControl = PowerControl()
    mimo: Mimo = Mimo()
    precoder: Annotated[Precoder, PRECODERS.field()] = PRECODERS.get("rzf")()
    slices: dict[str, Slice] = Field(
        default_factory=lambda: {"learning": Slice(share=0.5), "traffic": Slice(share=0.5)},
        description="guaranteed shares of the resource block groups, by name; learning carries the payloads",
    )
    slice_shares: Annotated[Sharing, SHARINGS.field()] = SHARINGS.get("fixed")()
    handover: Handover = Handover()
    fidelity: Fidelity = Fidelity()


class TrafficSettings(Settings):
    """How payloads become packets, and what other packets there are."""

    rlc: Rlc = Rlc()
    flows: tuple[Annotated[Traffic, TRAFFIC.field()], ...] = Field(
        default=(), description="background traffic beside the learning payloads"
    )


class LearningSettings(Settings):
    """The learning task and how it is spread over the UEs."""

    rounds: int = Field(
        default=15, ge=1, le=100_000, description="rounds of the learning algorithm; asynchronous: server steps"
    )
    until_s: float | None = Field(
        default=None, gt=0, le=1e9, description="virtual time after which no further round begins, s; null: never"
    )
    round_deadline_s: float | None = Field(
        default=None, gt=0.0, le=1e6, description="when a round's updates are wanted, s after its start; for schedulers"
    )
    task: Annotated[Task, TASKS.field()] = TASKS.get("digits")()
    model: Annotated[Model, MODELS.field()] = MODELS.get("glyph_vit")()
    adapter: Annotated[Adapter, ADAPTERS.field()] = ADAPTERS.get("lora")()
    partition: Annotated[Partition, PARTITIONS.field()] = PARTITIONS.get("dirichlet")()
    algorithm: Annotated[Algorithm, ALGORITHMS.field()] = ALGORITHMS.get("fedavg")()
    participation: Annotated[Participation, PARTICIPATIONS.field()] = PARTICIPATIONS.get("all")()
    schedule: Annotated[Schedule, LEARNING_SCHEDULES.field()] = LEARNING_SCHEDULES.get("synchronous")()
    hierarchy: Annotated[Hierarchy, HIERARCHIES.field()] = HIERARCHIES.get("flat")()
    freezing: Annotated[Freezing, FREEZINGS.field()] = FREEZINGS.get("none")()
    compression: Compression = Compression()
    transport: Annotated[Transport, TRANSPORTS.field()] = TRANSPORTS.get("digital")()
    loss_recovery: Annotated[LossRecovery, LOSS_RECOVERIES.field()] = LOSS_RECOVERIES.get("zero_fill")()
    split: SplitLearning | None = Field(
        default=None, description="the model cut between UE, gNB and cloud, trained batch by batch; null: whole on UEs"
    )
    gkt: FedGkt | None = Field(
        default=None, description="small networks on UEs and a large one at the gNB that teach each other; null: none"
    )
    quarantine: Quarantine = Quarantine()
    aggregator: Annotated[Aggregator, AGGREGATORS.field()] = AGGREGATORS.get("weighted_mean")()
    privacy: Privacy = Privacy()
    attack: Annotated[Attack, ATTACKS.field()] | None = Field(
        default=None, description="what malicious UEs do, to test with; null: none"
    )
    engine: Annotated[Engine, ENGINES.field()] = ENGINES.get("auto")()
    central: Literal["compare", "skip"] = Field(
        default="compare", description="compare: also fine-tune centrally with as many sample passes"
    )
    threads: int = Field(
        default=1, ge=1, le=256, description="torch threads of the training part; small models are fastest with 1"
    )


class ReportSettings(Settings):
    """What a run writes besides its tables."""

    figures: Literal["all", "none"] = Field(default="all", description="pictures drawn at the end of a run")
    dpi: int = Field(default=130, ge=50, le=600, description="dots per inch of the PNG files")
    slot_trace: bool = Field(default=False, description="write every transport block to slots.parquet")


class Scenario(Settings):
    """One radio world and one learning task: everything `airtune run` needs to know."""

    name: str = Field(
        default="scenario",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="letters, digits, '_', '.' and '-'; names the run directory",
    )
    description: str = Field(default="", description="one line, shown by `airtune list`")
    seed: int = Field(default=1, ge=0, lt=2**32, description="decides every random number of the run")
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    radio: RadioSettings = RadioSettings()
    sites: SitesSettings = SitesSettings()
    ues: UesSettings = UesSettings()
    channel: Annotated[ChannelModel, CHANNELS.field()] = CHANNELS.get("tr38901")()
    mac: MacSettings = MacSettings()
    traffic: TrafficSettings = TrafficSettings()
    learning: LearningSettings = LearningSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        broken = list(broken_rules(self))
        if broken:
            message = "; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in broken)
            raise PydanticCustomError("cross_rules", "{message}", {"message": message, "problems": broken})
        return self

    def summary(self) -> str:
        """Return the world and the learning in half a line, printed by `airtune validate`."""
        cells, ues, learning = self.sites.layout.num_cells, self.ues.count, self.learning
        if learning.gkt:
            method = "fedgkt"
        else:
            method = f"{learning.split.method} split" if learning.split else learning.algorithm.name
        return (
            f"{cells} cell{'s'[: cells != 1]}, {ues} UE{'s'[: ues != 1]}, {self.channel.name}, "
            f"{method} over {learning.transport.name}, "
            f"{learning.rounds} round{'s'[: learning.rounds != 1]}"
        )
