"""The faults of docs/design/faults.md, one file each; :data:`FAULTS` contains them by key."""

from chaos.faults.f01_worker_kill import ScoreKill, WatchKill
from chaos.faults.f02_source_kill import SourceKill
from chaos.faults.f03_shipper_kill import ShipperKill
from chaos.faults.f04_broker_kill import BrokerKill
from chaos.faults.f05_no_broker import NoBroker
from chaos.faults.f06_coming_and_going import ComingAndGoing
from chaos.faults.f07_slow_broker import SlowBroker
from chaos.faults.f08_slow_head import SlowHead
from chaos.faults.f09_fuzz import Fuzz
from chaos.faults.f10_disk_full import BrokerDisk, LedgerDisk, SpoolFillsDisk, SpoolRejects, SpoolSheds
from chaos.faults.f11_torn_tail import TornTail
from chaos.faults.f12_slow_consumer import SlowConsumer
from chaos.faults.f13_clocks import Clocks
from chaos.faults.f14_lost_producer import LostProducer
from chaos.faults.f15_data_deleted import DataDeleted, VolumeDeleted
from chaos.faults.f16_zombie import Zombie
from chaos.faults.f17_soak import Soak
from chaos.faults.f19_hostile_text import HostileText
from chaos.strike import Fault

FAULTS: dict[str, Fault] = {
    fault.key: fault
    for fault in (
        *(ScoreKill(), WatchKill(), SourceKill(), ShipperKill(), BrokerKill(), NoBroker(), ComingAndGoing()),
        *(SlowBroker(), SlowHead(), Fuzz()),
        *(SpoolSheds(), SpoolRejects(), SpoolFillsDisk(), BrokerDisk(), LedgerDisk()),
        *(TornTail(), SlowConsumer(), Clocks(), LostProducer(), DataDeleted(), VolumeDeleted(), Zombie(), Soak()),
        HostileText(),
    )
}


def chosen(names):
    """Return the faults that `names` (``F1,F4``, ``F1.score``) selects, in the order of FAULTS; all if `names` is empty."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    found = {name: [fault for key, fault in FAULTS.items() if name in (key, key.split(".")[0])] for name in wanted}
    if unknown := [name for name, faults in found.items() if not faults]:
        raise SystemExit(f"no fault is named {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    return [fault for fault in FAULTS.values() if not wanted or any(fault in faults for faults in found.values())]
