import json


def test_the_schema_is_json(run):
    result = run("schema")
    assert (0, "") == (result.exit_code, result.stderr)
    assert "$schema" in json.loads(result.stdout)
