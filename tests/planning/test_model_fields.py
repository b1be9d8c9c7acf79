from dataclasses import replace

from migrate.metadata import Metadata
from migrate.planning.model_fields import custom_metadata, model_fields
from tests.planning.configs import planned_config, source
from tests.planning.trees import planned

BEFORE = Metadata(model="lm", version=1, hyperparameters={"n": 2}, graph_digest="sha256:0")


def test_rules_without_a_model_keep_the_name_and_forget_the_code():
    fields = model_fields(planned('- "a -> b"', {"a": "2"}), BEFORE)

    assert ("lm", 1, {"n": 2}) == (fields["model"], fields["version"], fields["hyperparameters"])
    assert "graph_digest" not in fields


def test_without_rules_the_code_stays_recorded():
    assert "sha256:0" == model_fields(planned("", {"a": "2"}), BEFORE)["graph_digest"]


def test_the_template_describes_the_model():
    plan = replace(planned('- "a -> b"', {"a": "2"}), model_facts={"hyperparameters": {"n": 3}, "graph_digest": "x"})
    fields = model_fields(plan, BEFORE)

    assert ({"n": 3}, "x") == (fields["hyperparameters"], fields["graph_digest"])


def test_rules_for_the_config_decide_the_hyperparameters_and_make_the_code_another():
    plan = planned_config("  - n -> m", source({"n": 2}))
    fields = model_fields(replace(plan, model_facts={"hyperparameters": {"n": 3}}), BEFORE)
    assert {"m": 2} == fields["hyperparameters"]
    assert "graph_digest" not in model_fields(plan, BEFORE)


def test_json_items_in_metadata_are_those_after_the_rules_and_the_rest_of_the_metadata_stays():
    before = {"mine": 1, "migrate": {"model": "lm", "items": {"config": {"n": 2}, "other": 3}}}
    plan = planned_config("  - {in: config, from: n, to: m}", replace(source(), metadata=before))
    after = {"mine": 1, "migrate": {"model": "lm", "items": {"config": {"m": 2}, "other": 3}}}
    assert after == custom_metadata(plan)
    both = replace(source(config={"n": 5}), metadata=before)
    assert before == custom_metadata(planned_config("  - {in: config, from: n, to: m}", both))
    assert before == custom_metadata(planned_config("  []", replace(source(), metadata=before)))
