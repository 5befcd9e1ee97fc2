# testmesh_embed(TARGET SYMBOL FILE)
#
# Puts a file's bytes into TARGET: `extern const unsigned char SYMBOL[]` and `extern const size_t
# SYMBOL_len`. A zero byte that is not counted follows the bytes.
function(testmesh_embed target symbol file)
    get_filename_component(path ${file} ABSOLUTE)
    set(stub ${CMAKE_CURRENT_BINARY_DIR}/embed_${symbol}.c)
    file(WRITE ${stub}.new
"#include <stddef.h>
extern const unsigned char ${symbol}[];
extern const unsigned char ${symbol}_end[];
extern const size_t ${symbol}_len;
__asm__(\".section .rodata\\n.global ${symbol}\\n.balign 16\\n${symbol}:\\n\"
        \".incbin \\\"${path}\\\"\\n.global ${symbol}_end\\n${symbol}_end:\\n.byte 0\\n\"
        \".balign 8\\n.global ${symbol}_len\\n${symbol}_len:\\n.quad ${symbol}_end - ${symbol}\\n\"
        \".previous\\n\");
")
    file(COPY_FILE ${stub}.new ${stub} ONLY_IF_DIFFERENT)
    set_source_files_properties(${stub} PROPERTIES OBJECT_DEPENDS ${path})
    target_sources(${target} PRIVATE ${stub})
endfunction()
