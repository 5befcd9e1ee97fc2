import testmesh_there_is_no_such_package as reports


def test_report():
    assert reports.make() == "ready"
