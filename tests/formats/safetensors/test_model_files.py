"""The files of a Hugging Face model: configuration, tokenizer and processor, and nothing else of its folder."""

from migrate.formats.safetensors.model_files import model_files

OWN = ("config.json", "generation_config.json", "merges.txt", "spiece.model", "tokenizer.json", "tokenizer_config.json")
OTHERS = ("README.md", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "trainer_state.json")


def test_files_of_the_model_are_found_and_others_are_not(tmp_path):
    for name in (*OWN, *OTHERS):
        (tmp_path / name).touch()
    (tmp_path / "tokenizer").mkdir()
    assert list(OWN) == [file.name for file in model_files(tmp_path)]


def test_a_file_and_a_missing_path_have_none(tmp_path):
    (tmp_path / "config.json").touch()
    assert [] == model_files(tmp_path / "config.json") == model_files(tmp_path / "missing")
