"""The caller's own account at a provider: what it may be used for, and whose move it is when it is refused."""
import pytest

from support import NOVELAI_TOKEN, Watch, merge, sim_config
from tasks import NAI, older, older_end, read

WITH_OTHERS = "nai-with-others"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {
        "models": {WITH_OTHERS: {"provider": "novelai", "type": "image", "upstream_model": NAI, "fallback": ["gpt-image-1"]}}}))
    yield easel
    easel.stop()
    easel.process = None


@pytest.mark.parametrize("fault,code", [("status=401", "provider_credential_refused"),
                                        ("status=402", "upstream_quota_exhausted")])
def test_no_other_provider_is_told_of_it(easel, sim, fault, code):
    """Nor is another's account used in its place: the picture would be the operator's to pay for."""
    watch = Watch(sim)
    task_id = older(easel, model=WITH_OTHERS, token=f"{NOVELAI_TOKEN}-own@{fault}").json["task_id"]
    assert older_end(easel, task_id)["status"] == "FAILURE"
    error = read(easel, {"id": task_id})["error"]
    assert (error["code"], error["party"], error["upstream"]["name"]) == (code, "client", "novelai"), error
    assert "/novelai/" in watch.one()["path"], watch.requests()


def test_what_has_run_out_is_not_said_to_be_the_operators(easel):
    task_id = older(easel, token=f"{NOVELAI_TOKEN}-empty@status=402").json["task_id"]
    end = older_end(easel, task_id)
    assert "402" in end["error"] and "operator's account" not in end["error"], end
