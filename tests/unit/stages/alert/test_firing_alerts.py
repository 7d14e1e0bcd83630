import msgspec
from support.alert_log import ACME, Alerts
from support.signal_log import finding_of

from stream.stages.alert.firing_alerts import FiringAlerts


def test_only_alerts_of_the_stage_itself_can_be_lost_by_it():
    (opened,) = Alerts().run([finding_of("r1", 100.0, "pii")])
    firing = FiringAlerts(0, 1)
    firing.add(msgspec.structs.replace(opened, source="weir/ledger"))
    assert firing.streams() == set()
    firing.add(opened)
    assert firing.streams() == {ACME}
