"""`gadkit train --init-from`: the table of what a run begins with."""

from small_runs import SMALL


def test_the_table_stands_among_what_was_chosen(gadkit_command, clips, tmp_path):
    nets = ("--set", "generator.latent_dim=8", "--set", "generator.motion_dim=4", "--set", "discriminator.width=8")
    narrow, wide = ((*nets, "--set", f"generator.width={width}") for width in (8, 16))
    assert gadkit_command.train(clips, "--out", tmp_path / "old", nets=narrow).code == 0
    done = gadkit_command.train(clips, "--init-from", tmp_path / "old", "--dry-run", nets=wide)
    assert done.code == 0
    lines = done.out.splitlines()
    (begin,) = (number for number, line in enumerate(lines) if line.startswith("begins with"))
    assert lines[begin].endswith("old, step 2")
    table = lines[begin + 1 :][:4]
    assert [line.split()[0] for line in table] == ["loaded", "generator", "discriminator", "resized"]
    assert max(map(len, table)) <= 80
    wrong = gadkit_command("train", "--data", clips, *SMALL, "--init-from", tmp_path)
    assert wrong.error.startswith(f"run.init_from: {tmp_path} is a folder that is neither")
