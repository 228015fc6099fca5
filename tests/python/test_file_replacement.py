# SPDX-License-Identifier: Apache-2.0
"""Files and folders are replaced in one step, and what killed processes left of them is removed."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import gossamer
import numpy as np
import pytest
from gossamer.io import save_npz, save_safetensors, write_matrix_market
from gossamer.io.atomic import replacing, replacing_folder

#: Writes a file as libraries do, by way of a temporary one beside it, and is killed in between.
KILLED = """
import os, signal, sys
from gossamer.io.atomic import {how}
with {how}(sys.argv[1]) as beside:
    (beside.parent / ".tmpAbCdEf").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""

#: Is killed between the two steps that replace a folder.
KILLED_BETWEEN = """
import os, pathlib, signal, sys
from gossamer.io.atomic import replacing_folder
rename = pathlib.Path.rename
def kill_at_the_second(path, target):
    if path.name == "new":
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
pathlib.Path.rename = kill_at_the_second
with replacing_folder(sys.argv[1]) as beside:
    (beside / "file").write_text("new")
"""

#: Is killed, or overtaken by another writer, between making a folder and locking it.
UNLOCKED = """
import fcntl, os, signal, sys
from gossamer.io import atomic
lock = fcntl.flock
def interrupted(*arguments):
    fcntl.flock = lock
    {interruption}
    return lock(*arguments)
fcntl.flock = interrupted
with atomic.replacing(sys.argv[1]) as beside:
    beside.write_text("new")
"""

A = gossamer.csr_array((np.ones(3, np.float32), [0, 1, 2], [0, 1, 2, 3]), (3, 3))

WRITERS = {
    "a.npz": lambda path: save_npz(path, A),
    "a.mtx": lambda path: write_matrix_market(path, A),
    "a.safetensors": lambda path: save_safetensors(path, A),
}

every_writer = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name == "a.mtx" and find_spec("fast_matrix_market") is None,
                reason="MatrixMarket files need fast_matrix_market",
            ),
        )
        for name in WRITERS
    ],
)


def run(program: str, path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL


@every_writer
def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path, name):
    path = tmp_path / name
    path.write_text("old")
    run(KILLED.format(how="replacing"), path)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    WRITERS[name](path)
    assert os.listdir(tmp_path) == [name]
    assert path.read_bytes() != b"old"


def test_what_a_killed_process_left_of_a_folder_is_removed(tmp_path):
    path = tmp_path / "model"
    run(KILLED.format(how="replacing_folder"), path)
    with replacing_folder(path) as beside:
        (beside / "file").touch()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(path) == ["file"]


def test_a_folder_that_was_not_locked_yet_is_removed(tmp_path):
    path = tmp_path / "file"
    run(UNLOCKED.format(interruption="os.kill(os.getpid(), signal.SIGKILL)"), path)
    assert len(os.listdir(tmp_path)) == 1
    with replacing(path) as beside:
        beside.touch()
    assert os.listdir(tmp_path) == ["file"]


def test_a_writer_that_is_overtaken_before_it_locks_its_folder_begins_anew(tmp_path):
    path = tmp_path / "file"
    program = UNLOCKED.format(interruption="atomic._remove_abandoned(atomic.Path(sys.argv[1]))")
    subprocess.run([sys.executable, "-c", program, path], check=True)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_put_back_where_the_process_was_killed_in_between(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "file").write_text("old")
    run(KILLED_BETWEEN, path)
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), replacing_folder(path):
        1 / 0  # noqa: B018
    assert (path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["new", "replaced"])
def test_a_file_of_any_name_appears_whole_or_not_at_all(tmp_path, name):
    def write_half(path: Path) -> None:
        path.write_text("half")
        raise ValueError("it ends here")

    with pytest.raises(ValueError, match="ends here"), replacing(tmp_path / name) as beside:
        write_half(beside)
    assert not os.listdir(tmp_path)
    with replacing(tmp_path / name) as beside:
        beside.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "file"
    make(path)
    before = path.stat()
    with pytest.raises(FileExistsError, match="file is no regular file"), replacing(path):
        pytest.fail("it was to be written")
    assert path.stat() == before
    assert os.listdir(tmp_path) == ["file"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # which ended last
    assert os.listdir(tmp_path) == ["file"]


def test_only_folders_of_the_same_file_are_removed(tmp_path):
    other = [".file.0123abcd", ".file2.0123abcd.unfinished", "file.0123abcd.unfinished"]
    for name in other:
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".file.00000000.unfinished").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".file.00000001.unfinished").write_text("no folder")
    before = {*os.listdir(tmp_path), "file"}
    (tmp_path / ".file.00000002.unfinished").mkdir()
    with replacing(tmp_path / "file") as beside:
        beside.touch()
    assert {*os.listdir(tmp_path)} == before


@every_writer
def test_a_full_disk_leaves_the_old_file(tmp_path, name):
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    path = tmp_path / name
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [name]
