#include "loadbalance/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct admission_state well(void)
{
    return (struct admission_state){
        .is_writable = true, .replicas = 3, .replicas_wanted = 2, .slots = 4};
}

static void must_be(struct admission_state state, enum admission_verdict verdict, int status,
                    uint32_t retry_s)
{
    struct admission admission = admission_judge(&state);
    assert_int_equal(admission.verdict, verdict);
    assert_int_equal(admission.status, status);
    assert_int_equal(admission.retry_after_s, retry_s);
}

static void a_mesh_that_is_well_takes_it(void **unused)
{
    (void)unused;
    struct admission_state state = well();
    state.queued_ms = 4 * ADMISSION_DRAIN_MAX_MS;
    state.queued_modules = ADMISSION_QUEUED_MAX;
    state.uploads = ADMISSION_UPLOADS_MAX - 1;
    must_be(state, ADMISSION_OK, 202, 0);
}

static void too_much_work_is_told_when_to_come_back(void **unused)
{
    (void)unused;
    struct admission_state state = well();
    state.queued_ms = 4 * ADMISSION_DRAIN_MAX_MS;
    state.running_left_ms = 4;
    must_be(state, ADMISSION_BUSY, 429, 60);
    state = well();
    state.queued_modules = ADMISSION_QUEUED_MAX + 1;
    must_be(state, ADMISSION_BUSY, 429, 1);
    state.queued_ms = 4 * 17500;
    must_be(state, ADMISSION_BUSY, 429, 18);
    state.queued_ms = UINT64_MAX;
    state.running_left_ms = UINT64_MAX;
    must_be(state, ADMISSION_BUSY, 429, 60);
    state = well();
    state.uploads = ADMISSION_UPLOADS_MAX;
    must_be(state, ADMISSION_UPLOADS, 429, 1);
}

static void what_cannot_keep_it_does_not_take_it(void **unused)
{
    (void)unused;
    struct admission_state state = well();
    state.replicas = 1;
    must_be(state, ADMISSION_NO_REPLICAS, 503, 2);
    state.replicas_wanted = 1; /* a mesh of one */
    must_be(state, ADMISSION_OK, 202, 0);
    state.slots = 0;
    must_be(state, ADMISSION_NO_SLOTS, 503, 2);
    state.is_repairing = true;
    must_be(state, ADMISSION_REPAIRING, 503, 2);
    state.is_writable = false;
    must_be(state, ADMISSION_UNWRITABLE, 503, 60);
    state.is_draining = true;
    must_be(state, ADMISSION_DRAINING, 503, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mesh_that_is_well_takes_it),
        cmocka_unit_test(too_much_work_is_told_when_to_come_back),
        cmocka_unit_test(what_cannot_keep_it_does_not_take_it),
    };
    return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
