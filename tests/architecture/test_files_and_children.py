"""Files are made in one place, and no child inherits what it does not need: by reading all of the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.test_house import MODULES, ROOT, name_of, nodes_of

MAKER = "mcp_server.kernel.private_files"
ALONE = {
    "mcp_server.integrations.keeper": "a process with nothing but the standard library, under a umask of its own",
    "mcp_server.integrations.workers.starter": "as the keeper",
}
WRITES = {"write_text", "write_bytes", "touch", "mkdir", "makedirs", "copyfile", "copy", "copy2", "copytree", "mkfifo"}
STARTS = {
    *("run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"),
    *("open_process", "run_process", "StdioServerParameters", "popen", "system", "spawnv", "spawnl"),
    *("execv", "execl", "execlp", "execvp"),
}
WITH_ENV_BY_PLACE = {"execve", "execvpe", "posix_spawn", "posix_spawnp"}
WHOLE_ENVIRONMENT = {
    "mcp_server.commands.call": "a server of our own, which is to have the settings of the command",
    "mcp_server.integrations.workers.starter": "becomes the program, in the environment that it was started with",
}


def calls_of(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def opens_to_write(func: str, call: ast.Call) -> bool:
    if func.rpartition(".")[2] != "open" or func in ("os.open", "private_files.open"):
        return func == "os.open" and "O_CREAT" in ast.unparse(call)
    modes = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    modes += [one.value.value for one in call.keywords if one.arg == "mode" and isinstance(one.value, ast.Constant)]
    return any(set(mode) & set("wax") and set(mode) <= set("wax+bt") for mode in modes)


def is_of_files(func: str) -> bool:
    owner, _, name = func.rpartition(".")
    return name in WRITES and (name != "copy" or owner == "shutil")


def test_nothing_makes_a_file_but_the_one_module_for_it():
    made = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {func}"
        for path in MODULES
        if name_of(path) not in {MAKER, *ALONE}
        for func, call in calls_of(path)
        if opens_to_write(func, call) or is_of_files(func)
    ]
    assert made == [], f"use {MAKER}, so that it is its user's alone from the first moment"


def starts_a_process(func: str, call: ast.Call) -> bool:
    owner, _, name = func.rpartition(".")
    if name in ("run", "call", "popen", "system"):
        return owner in ("subprocess", "os", "sp")
    return name in STARTS | WITH_ENV_BY_PLACE


def test_every_child_is_given_its_environment_and_none_all_of_ours():
    found: dict[str, str] = {}
    for path in MODULES:
        for func, call in calls_of(path):
            if not starts_a_process(func, call):
                continue
            given = [one.value for one in call.keywords if one.arg == "env"]
            if func.rpartition(".")[2] in WITH_ENV_BY_PLACE:
                given = [call.args[2]]
            assert given, f"{name_of(path)}, line {call.lineno}: {func} inherits everything; give it an `env`"
            said = ast.unparse(given[0])
            found[name_of(path)] = found.get(name_of(path), "") + said
    whole = {name for name, said in found.items() if "environ" in said and "_environment()" not in said}
    assert whole == set(WHOLE_ENVIRONMENT)
    assert len(found) >= 12, "they are found at all"


def test_the_exceptions_are_there():
    assert {MAKER, *ALONE, *WHOLE_ENVIRONMENT} <= {name_of(path) for path in MODULES}
