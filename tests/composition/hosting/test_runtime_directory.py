from __future__ import annotations

from pathlib import Path

from composition.hosting.runtime_directory import runtime_directory


def test_it_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    parent = tmp_path / "made" / "too"
    with runtime_directory(parent) as made:
        assert made.parent == parent
        assert made.stat().st_mode & 0o777 == 0o700
        assert parent.stat().st_mode & 0o777 == 0o700
    assert list(parent.iterdir()) == []


def test_what_a_dead_supervisor_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left, foreign, public = (tmp_path / f"credit-workers-{name}" for name in ("left", "foreign", "public"))
    for each in (left, foreign, public):
        each.mkdir(mode=0o700)
    (left / "x.lock").touch()
    (left / "x.sock").touch()
    (foreign / "notes.txt").touch()
    public.chmod(0o755)
    (tmp_path / "credit-workers-link").symlink_to(left)
    with runtime_directory(tmp_path) as living, runtime_directory(tmp_path) as another:
        assert set(tmp_path.iterdir()) == {living, another, foreign, public, tmp_path / "credit-workers-link"}


def test_it_may_be_removed_meanwhile(tmp_path: Path) -> None:
    with runtime_directory(tmp_path) as made:
        made.rmdir()
    assert list(tmp_path.iterdir()) == []
