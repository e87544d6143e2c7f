"""Studies on a real local Ray cluster of several nodes, one of which is killed."""

import gc

import pytest
from test_running import STUDY, contents

import sgdscope
from sgdscope.execution.engine import ATTEMPTS
from sgdscope.results.record import Checkpoint
from sgdscope.study.study import Study


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray", reason="needs sgdscope[ray]")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    del cluster
    gc.collect()  # its sockets, before another test is blamed for them


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_study_survives_the_deaths_of_nodes(cluster, tmp_path):
    (tmp_path / "tiny.toml").write_text(STUDY)
    study = Study.load(tmp_path / "tiny.toml", overrides={"epochs": 30})

    class Killer:
        """Kills the node under two runs once both got further, again and again."""

        def __init__(self):
            self.further, self.killed = set(), 0
            self.node = cluster.add_node(num_cpus=2)

        def begin(self, tasks):
            pass

        def tell(self, message):
            if isinstance(message, Checkpoint):
                self.further.add(message.run_id)
            if len(self.further) == 2 and self.killed < ATTEMPTS:
                doomed, self.node = self.node, cluster.add_node(num_cpus=2)
                cluster.remove_node(doomed, allow_graceful=False)
                self.further, self.killed = set(), self.killed + 1

    killer = Killer()
    results = sgdscope.run(
        study, out=tmp_path / "ray", engine="ray", watcher=killer, checkpoint_every=0.2
    )
    assert killer.killed == ATTEMPTS
    assert set(results.runs["status"]) <= {"done", "collapsed"}
    sgdscope.run(study, out=tmp_path / "local")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
