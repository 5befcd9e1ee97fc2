def test_that_passes():
    assert True


def test_takes_itself_back(request):
    request.config.hook.pytest_deselected(items=[request.node])
    assert False
