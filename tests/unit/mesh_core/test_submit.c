/* Submissions under a key: one home decides. And what is told of evaluations that others lead. */
#include "tests/unit/mesh_core/meshes.h"

#define TOKEN 77

static void submit_keyed(struct node *self, uint64_t token, uint8_t body, uint8_t bundle)
{
    struct doc_project project = {.name = "p", .source = "p.zip", .bytes = 1, .files = 1};
    project.bundle.bytes[0] = bundle;
    struct doc_req req = {.created_ms = WALL_MS + self->id % 1000,
                          .name = "e",
                          .key = "k",
                          .projects = &project,
                          .project_count = 1};
    req.body.bytes[0] = body;
    tell(self, (struct mesh_event){.kind = MESH_SUBMIT,
                                   .eval = EVAL,
                                   .token = token,
                                   .delta = &(struct delta){.id = EVAL, .req = &req}});
}

/* Who is the id's home, found by where a submission goes; nothing of it arrives. */
static bool loses_submit(const struct node *from, const struct node *to, enum wire_kind kind)
{
    (void)from, (void)to;
    return kind == WIRE_SUBMIT;
}

static struct node *home_of(struct meshes *self)
{
    for (size_t i = 0; i < self->count; i++)
        for (size_t j = 0; j < self->sent_count; j++)
            if (self->sent[j].kind == WIRE_SUBMIT && self->sent[j].to == self->nodes[i].id)
                return &self->nodes[i];
    return NULL;
}

/* Four nodes, and a submission at one that is not its home, on its way there. */
struct scene {
    struct meshes *world;
    struct node *asker, *home, *other;
};

static struct scene scene_new(uint8_t bundle)
{
    struct scene self = {.world = meshes_new(4, 1)};
    struct meshes *probe = meshes_new(4, 1);
    probe->loses = loses_submit;
    for (size_t i = 0; i < 4; i++)
        submit_keyed(&probe->nodes[i], TOKEN, 1, 0);
    struct node *home = home_of(probe);
    assert_non_null(home);
    self.home = &self.world->nodes[home - probe->nodes];
    meshes_free(probe);
    self.asker = self.home == &self.world->nodes[0] ? &self.world->nodes[1] : &self.world->nodes[0];
    for (size_t i = 0; i < 4; i++)
        if (&self.world->nodes[i] != self.home && &self.world->nodes[i] != self.asker)
            self.other = &self.world->nodes[i];
    submit_keyed(self.asker, TOKEN, 1, bundle);
    return self;
}

static void assert_accepted_by(const struct node *self, uint64_t token, unsigned replicas)
{
    const struct seen *seen = last_seen(self, MESH_ACCEPTED);
    assert_non_null(seen);
    assert_int_equal(seen->token, token);
    assert_int_equal(seen->replicas, replicas);
}

static void assert_accepted(const struct node *self, uint64_t token)
{
    assert_accepted_by(self, token, 3);
}

static void assert_refused(const struct node *self, const char *reason)
{
    const struct seen *seen = last_seen(self, MESH_REFUSED);
    assert_non_null(seen);
    assert_int_equal(seen->token, TOKEN);
    assert_string_equal(seen->reason, reason);
    assert_int_equal(count_seen(self, MESH_ACCEPTED), 0);
}

/* Its process is gone, and those who have a link to it see that. */
static void crash(struct node *self)
{
    mesh_free(self->mesh);
    self->mesh = NULL;
    for (size_t i = 0; i < self->world->count; i++)
        if (self->world->nodes[i].mesh)
            tell(&self->world->nodes[i], (struct mesh_event){.kind = MESH_LINK_DOWN,
                                                             .peer = self->id,
                                                             .link_end = MESH_LINK_LOST});
}

static size_t count_accepted(const struct meshes *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += count_seen(&self->nodes[i], MESH_ACCEPTED);
    return count;
}

/* ---- one home -------------------------------------------------------------------------------- */

static void test_the_home_takes_it_and_the_asker_hears(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    settle(scene.world);
    assert_accepted(scene.asker, TOKEN);
    assert_int_equal(fence_of(scene.home, EVAL).owner, scene.home->id);
    assert_int_equal(fence_of(scene.home, EVAL).epoch, 1);
    assert_int_equal(count_accepted(scene.world), 1);
    meshes_free(scene.world);
}

static void test_at_the_same_moment_on_all_nodes(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    for (size_t i = 0; i < 4; i++)
        if (&scene.world->nodes[i] != scene.asker)
            submit_keyed(&scene.world->nodes[i], TOKEN + i, 1, 0);
    settle(scene.world);
    for (size_t i = 0; i < 4; i++)
        assert_accepted(&scene.world->nodes[i],
                        &scene.world->nodes[i] == scene.asker ? TOKEN : TOKEN + i);
    pass(scene.world, 5000);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(doc_of(&scene.world->nodes[i], EVAL)->req->created_ms,
                         doc_of(&scene.world->nodes[0], EVAL)->req->created_ms);
    meshes_free(scene.world);
}

static void test_two_clients_of_one_node_are_both_answered(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    submit_keyed(scene.asker, TOKEN + 1, 1, 0);
    settle(scene.world);
    assert_int_equal(count_seen(scene.asker, MESH_ACCEPTED), 2);
    assert_int_equal(count_sent(scene.world, scene.asker, scene.home, WIRE_SUBMIT), 1);
    meshes_free(scene.world);
}

static void test_another_body_is_refused_before_and_after(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    submit_keyed(scene.other, TOKEN, 2, 0);
    settle(scene.world);
    assert_accepted(scene.asker, TOKEN);
    assert_refused(scene.other, "idempotency-key-reused");
    scene.other->seen_count = 0;
    pass(scene.world, 5000);
    submit_keyed(scene.other, TOKEN, 2, 0);
    settle(scene.world);
    assert_refused(scene.other, "idempotency-key-reused");
    meshes_free(scene.world);
}

static void test_a_repeat_waits_until_the_first_is_acknowledged(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    for (size_t i = 0; i < 4; i++) /* nobody but the home can write */
        scene.world->nodes[i].is_disk_stopped = &scene.world->nodes[i] != scene.home;
    settle(scene.world);
    assert_non_null(doc_of(scene.home, EVAL));
    submit_keyed(scene.other, TOKEN + 1, 1, 0);
    settle(scene.world);
    assert_int_equal(count_accepted(scene.world), 0);
    for (size_t i = 0; i < 4; i++)
        scene.world->nodes[i].is_disk_stopped = false;
    settle(scene.world);
    assert_accepted(scene.asker, TOKEN);
    assert_accepted(scene.other, TOKEN + 1);
    meshes_free(scene.world);
}

static void test_a_draining_home_is_passed_over(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    tell(scene.home, (struct mesh_event){.kind = MESH_DRAIN});
    settle(scene.world);
    assert_accepted(scene.asker, TOKEN);
    assert_int_not_equal(fence_of(scene.asker, EVAL).owner, scene.home->id);
    meshes_free(scene.world);
}

/* ---- bundles --------------------------------------------------------------------------------- */

static void test_the_home_fetches_the_bundles_from_the_asker(void **state)
{
    (void)state;
    struct scene scene = scene_new(9);
    scene.home->docs.lacks_blobs = true;
    settle(scene.world);
    const struct seen *fetch = last_seen(scene.home, MESH_FETCH);
    assert_non_null(fetch);
    assert_int_equal(fetch->source_count, 1);
    assert_int_equal(fetch->sources[0], scene.asker->id);
    assert_null(doc_of(scene.home, EVAL));
    tell(scene.home,
         (struct mesh_event){.kind = MESH_FETCHED, .token = fetch->token, .is_ok = false});
    settle(scene.world);
    assert_refused(scene.asker, "replicas-too-late");
    meshes_free(scene.world);
}

/* ---- a home that goes ------------------------------------------------------------------------ */

static void test_a_home_that_goes_before_it_heard_is_replaced(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    crash(scene.home);
    pass(scene.world, 12000); /* who was chosen for a replica may be the one that is gone */
    assert_accepted(scene.asker, TOKEN);
    assert_int_not_equal(fence_of(scene.asker, EVAL).owner, scene.home->id);
    assert_int_equal(count_accepted(scene.world), 1);
    meshes_free(scene.world);
}

static bool loses_answers(const struct node *from, const struct node *to, enum wire_kind kind)
{
    (void)from, (void)to;
    return kind == WIRE_SUBMITTED;
}

/* It had taken it in, and nobody heard: the one evaluation is found, and not answered for before
 * somebody leads it. */
static void test_a_home_that_goes_after_it_took_it_in(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    scene.world->loses = loses_answers;
    settle(scene.world);
    assert_int_equal(count_accepted(scene.world), 0);
    uint64_t created_ms = doc_of(scene.home, EVAL)->req->created_ms;
    scene.world->loses = NULL;
    crash(scene.home);
    settle(scene.world);
    assert_int_equal(count_accepted(scene.world), 0);
    pass(scene.world, 15000);
    assert_accepted_by(scene.asker, TOKEN, 2); /* the majority that promised it to who leads now */
    assert_true(fence_of(scene.asker, EVAL).epoch > 1);
    assert_int_equal(doc_of(scene.asker, EVAL)->req->created_ms, created_ms);
    meshes_free(scene.world);
}

/* Nobody was told 202 when the home went, and who leads it then was promised it by two: they are
 * asked whether they have all of it before a repeat is answered. */
static void test_what_was_never_acknowledged_is_put_on_its_replicas_first(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    for (size_t i = 0; i < 4; i++)
        scene.world->nodes[i].is_disk_stopped = &scene.world->nodes[i] != scene.home;
    settle(scene.world);
    assert_non_null(doc_of(scene.home, EVAL));
    crash(scene.home);
    for (size_t i = 0; i < 4; i++)
        scene.world->nodes[i].is_disk_stopped = false;
    pass(scene.world, 15000);
    assert_accepted_by(scene.asker, TOKEN, 2);
    size_t questions = 0;
    for (size_t i = 0; i < scene.world->sent_count; i++) {
        struct err err = ERR_INIT;
        const struct sent *sent = &scene.world->sent[i];
        owned_wire_msg msg;
        assert_int_equal(wire_decode(sent->bytes, sent->len, &msg, &err), 0);
        questions += msg.kind == WIRE_PUT && (msg.put.rid & OWN_RID_SYNC);
    }
    assert_true(questions > 0);
    meshes_free(scene.world);
}

static void test_nobody_answers_for_ever(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    scene.world->loses = loses_answers; /* and the link stands */
    pass(scene.world, 100000);
    assert_refused(scene.asker, "replicas-too-late");
    meshes_free(scene.world);
}

/* ---- an id that is used up ------------------------------------------------------------------- */

static void test_what_was_cancelled_before_it_ran_has_used_up_its_id(void **state)
{
    (void)state;
    struct scene scene = scene_new(0);
    settle(scene.world);
    tell(scene.other, (struct mesh_event){.kind = MESH_ASK, .eval = EVAL, .token = 5});
    settle(scene.world);
    tell(scene.other, (struct mesh_event){.kind = MESH_CANCEL, .eval = EVAL, .token = 6});
    pass(scene.world, 5000);
    unsigned replicas;
    assert_int_equal(mesh_standing(scene.other->mesh, EVAL, &replicas), MESH_WITHDRAWN);
    submit_keyed(scene.other, TOKEN, 1, 0);
    settle(scene.world);
    assert_refused(scene.other, "id-taken");
    meshes_free(scene.world);
}

/* ---- what runs elsewhere --------------------------------------------------------------------- */

static void ask(struct node *self)
{
    tell(self, (struct mesh_event){.kind = MESH_ASK, .eval = EVAL, .token = 5});
    settle(self->world);
}

static void test_who_asks_hears_what_runs(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(3, 1);
    for (size_t i = 0; i < 3; i++) {
        world->nodes[i].modules = 3;
        world->nodes[i].is_idle = true;
    }
    submit(&world->nodes[0], EVAL, 0);
    pass(world, 10000);
    for (size_t i = 1; i < 3; i++)
        ask(&world->nodes[i]);
    owned_mem struct mesh_running *led = NULL;
    size_t count = mesh_running(world->nodes[0].mesh, EVAL, &led);
    assert_true(count >= 2);
    for (size_t i = 1; i < 3; i++) {
        owned_mem struct mesh_running *told = NULL;
        assert_int_equal(mesh_running(world->nodes[i].mesh, EVAL, &told), count);
        for (size_t j = 0; j < count; j++) {
            size_t at = 0;
            while (at < count && told[at].work.m != led[j].work.m)
                at++;
            assert_true(at < count);
            assert_int_equal(told[at].peer, led[j].peer);
        }
        unsigned replicas;
        assert_int_equal(mesh_standing(world->nodes[i].mesh, EVAL, &replicas), MESH_ACKNOWLEDGED);
        assert_int_equal(replicas, 3);
    }
    size_t news = count_seen(&world->nodes[2], MESH_RUNNING);
    ask(&world->nodes[2]); /* nothing has changed but the time */
    assert_int_equal(count_seen(&world->nodes[2], MESH_RUNNING), news);
    pass(world, 31000); /* nobody has asked: what was told is old */
    owned_mem struct mesh_running *old = NULL;
    count = mesh_running(world->nodes[2].mesh, EVAL, &old);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(old[i].peer, world->nodes[2].id);
    meshes_free(world);
}

static void test_only_the_owner_is_believed(void **state)
{
    (void)state;
    struct meshes *world = meshes_new(3, 1);
    struct node *owner = &world->nodes[0];
    struct node *liar = &world->nodes[1];
    struct node *asker = &world->nodes[2];
    for (size_t i = 0; i < 3; i++)
        world->nodes[i].is_idle = true;
    submit(owner, EVAL, 0);
    settle(world);
    ask(asker);
    struct wire_attempt attempt = {.node = liar->id, .n = 1};
    struct wire_msg msg = {
        .kind = WIRE_LIVE,
        .live = {
            .eid = EVAL, .fence = fence_of(owner, EVAL), .attempts = &attempt, .attempt_count = 1}};
    owned_mem struct mesh_running *before = NULL;
    size_t count = mesh_running(asker->mesh, EVAL, &before);
    hear(asker, liar, &msg);
    owned_mem struct mesh_running *after = NULL;
    assert_int_equal(mesh_running(asker->mesh, EVAL, &after), count);
    msg.live.fence.owner = liar->id; /* in its own name: not the document's fence */
    hear(asker, liar, &msg);
    owned_mem struct mesh_running *again = NULL;
    assert_int_equal(mesh_running(asker->mesh, EVAL, &again), count);
    meshes_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_home_takes_it_and_the_asker_hears),
        cmocka_unit_test(test_at_the_same_moment_on_all_nodes),
        cmocka_unit_test(test_two_clients_of_one_node_are_both_answered),
        cmocka_unit_test(test_another_body_is_refused_before_and_after),
        cmocka_unit_test(test_a_repeat_waits_until_the_first_is_acknowledged),
        cmocka_unit_test(test_a_draining_home_is_passed_over),
        cmocka_unit_test(test_the_home_fetches_the_bundles_from_the_asker),
        cmocka_unit_test(test_a_home_that_goes_before_it_heard_is_replaced),
        cmocka_unit_test(test_a_home_that_goes_after_it_took_it_in),
        cmocka_unit_test(test_what_was_never_acknowledged_is_put_on_its_replicas_first),
        cmocka_unit_test(test_nobody_answers_for_ever),
        cmocka_unit_test(test_what_was_cancelled_before_it_ran_has_used_up_its_id),
        cmocka_unit_test(test_who_asks_hears_what_runs),
        cmocka_unit_test(test_only_the_owner_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
