# Warnings and hardening, for every target alike. Not -Wpedantic: it objects to %m in printf formats.
add_library(testmesh_flags INTERFACE)
target_compile_definitions(testmesh_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
    TESTMESH_VERSION="${PROJECT_VERSION}")
target_include_directories(testmesh_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(testmesh_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Wswitch-enum
    -fstack-protector-strong -fno-strict-aliasing -fno-omit-frame-pointer)
target_link_options(testmesh_flags INTERFACE -Wl,-z,relro,-z,now)

# Asserts find our own bugs; they stay on in every build.
foreach(kind RELEASE RELWITHDEBINFO)
    string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${kind} "${CMAKE_C_FLAGS_${kind}}")
endforeach()

if(TESTMESH_WERROR)
    target_compile_options(testmesh_flags INTERFACE -Werror)
endif()
if(TESTMESH_SANITIZE)
    target_compile_options(testmesh_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(testmesh_flags INTERFACE -fsanitize=address,undefined)
elseif(TESTMESH_TSAN)
    target_compile_options(testmesh_flags INTERFACE -fsanitize=thread)
    target_link_options(testmesh_flags INTERFACE -fsanitize=thread)
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
    target_compile_definitions(testmesh_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(TESTMESH_FUZZ)
    target_compile_options(testmesh_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
