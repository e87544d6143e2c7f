"""Studies on a real local Ray cluster of several nodes, one of which is killed."""

import threading

import pytest
from test_running import STUDY, contents

import sgdscope
from sgdscope.study import Study

ray = pytest.importorskip("ray", reason="needs sgdscope[ray]")


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_study_survives_the_death_of_a_node(cluster, tmp_path):
    (tmp_path / "tiny.toml").write_text(STUDY)
    study = Study.load(tmp_path / "tiny.toml", overrides={"epochs": 30})
    doomed = cluster.add_node(num_cpus=2)
    killed = threading.Event()

    class Killer:
        """Kills the node under the first runs once they are well under way."""

        def __init__(self):
            self.epochs = 0

        def begin(self, tasks, *, measures):
            pass

        def tell(self, message):
            self.epochs += 1
            if self.epochs == 20:
                cluster.add_node(num_cpus=2)
                cluster.remove_node(doomed, allow_graceful=False)
                killed.set()

    results = sgdscope.run(
        study, out=tmp_path / "ray", engine="ray", watcher=Killer(), checkpoint_every=0.2
    )
    assert killed.is_set()
    assert set(results.runs["status"]) <= {"done", "collapsed"}
    sgdscope.run(study, out=tmp_path / "local")
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
