import pytest


@pytest.fixture(scope="session")
def number():
    return 3


def pytest_collection_modifyitems(config, items):
    chosen = [item for item in items if "deselected" not in item.name]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = yield
    if call.excinfo and call.excinfo.errisinstance(NotImplementedError):
        report = result.get_result()
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 1, "Skipped: not written yet")
