# testmesh_room(NAME SOURCES a.c b.c [USES target …])
#
# One static library a room (or a part of one), so that a test that links one target can call nothing
# that the target may not call.
function(testmesh_room name)
    cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC testmesh_flags ${ARG_USES})
endfunction()
