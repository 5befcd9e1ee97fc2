/* Repositories: who clones them, who keeps what they hold and what opens them. */
#include "tests/unit/mesh_core/meshes.h"

#define SECRET 9

static void submit_git(struct node *self, uint8_t secret)
{
    struct doc_project project = {.name = "p", .source = "https://git.example/o/r"};
    struct doc_req req = {.created_ms = WALL_MS,
                          .kind = DOC_GIT,
                          .name = "e",
                          .projects = &project,
                          .project_count = 1};
    req.secret.bytes[0] = secret;
    tell(self, (struct mesh_event){.kind = MESH_SUBMIT,
                                   .eval = EVAL,
                                   .delta = &(struct delta){.id = EVAL, .req = &req}});
}

static struct doc_source source_of(const struct work *work, uint8_t commit)
{
    struct doc_source source = {
        .p = work->p,
        .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
        .source = "https://git.example/o/r/tree/1",
        .files = 1};
    source.bundle.bytes[0] = source.tree.bytes[0] = commit;
    return source;
}

static void cloned(struct node *self, const struct work *work, uint8_t commit)
{
    struct doc_source source = source_of(work, commit);
    tell(self, (struct mesh_event){
                   .kind = MESH_CLONED,
                   .work = *work,
                   .delta = &(struct delta){.id = EVAL, .sources = &source, .source_count = 1}});
}

static void fails(struct node *self, const struct work *work)
{
    struct doc_source source = {
        .p = work->p,
        .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
        .source = "https://git.example/o/r",
        .failure = "there is no such repository"};
    tell(self, (struct mesh_event){
                   .kind = MESH_CLONED,
                   .work = *work,
                   .delta = &(struct delta){.id = EVAL, .sources = &source, .source_count = 1}});
}

static size_t cloning(const struct node *self, struct mesh_clone *first)
{
    struct mesh_clone *list = NULL;
    size_t count = mesh_cloning(self->mesh, EVAL, &list);
    if (count > 0)
        *first = list[0];
    free(list);
    return count;
}

static void progress(struct node *self, const struct work *work)
{
    tell(self, (struct mesh_event){.kind = MESH_CLONE_PROGRESS,
                                   .work = *work,
                                   .clone = {.p = work->p,
                                             .phase = MESH_CLONE_RECEIVING,
                                             .bytes = 4096,
                                             .objects = 7,
                                             .tries = 2}});
}

/* The answer to the last FETCH. */
static void fetched(struct node *self, bool is_ok)
{
    const struct seen *fetch = last_seen(self, MESH_FETCH);
    assert_non_null(fetch);
    tell(self, (struct mesh_event){.kind = MESH_FETCHED, .token = fetch->token, .is_ok = is_ok});
}

/* ---- alone ----------------------------------------------------------------------------------- */

static void test_nothing_runs_before_it_is_cloned(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(1, 1);
    struct node *node = &self->nodes[0];
    struct mesh_clone clone;
    node->modules = 2;
    submit_git(node, 0);
    settle(self);
    assert_non_null(last_seen(node, MESH_ACCEPTED));
    struct work work = last_work(node, MESH_CLONE);
    assert_int_equal(work.eval, EVAL);
    assert_int_equal(work.ballot.owner, node->id);
    assert_null(last_seen(node, MESH_PREPARE));
    assert_true(mesh_is_preparing(node->mesh, EVAL));
    assert_int_equal(cloning(node, &clone), 1);
    assert_int_equal(clone.phase, MESH_CLONE_WAITING);
    progress(node, &work);
    assert_int_equal(cloning(node, &clone), 1);
    assert_int_equal(clone.phase, MESH_CLONE_RECEIVING);
    assert_int_equal(clone.bytes, 4096);
    cloned(node, &work, 1);
    settle(self);
    assert_int_equal(cloning(node, &clone), 0);
    assert_int_equal(count_seen(node, MESH_CLONE), 1);
    assert_true(doc_is_final(doc_of(node, EVAL)));
    assert_int_equal(doc_of(node, EVAL)->seal->vec_count, 2);
    meshes_free(self);
}

static void test_a_repository_that_is_not_there_fails_its_project(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(1, 1);
    struct node *node = &self->nodes[0];
    submit_git(node, 0);
    settle(self);
    struct work work = last_work(node, MESH_CLONE);
    fails(node, &work);
    settle(self);
    struct doc_project project;
    doc_project(doc_of(node, EVAL), 0, &project);
    assert_string_equal(project.failure, "there is no such repository");
    assert_true(doc_is_final(doc_of(node, EVAL)));
    meshes_free(self);
}

static void test_a_cancel_ends_the_clone(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(1, 1);
    struct node *node = &self->nodes[0];
    submit_git(node, SECRET);
    settle(self);
    struct work work = last_work(node, MESH_CLONE);
    assert_null(last_seen(node, MESH_FORGET_SECRET));
    tell(node, (struct mesh_event){.kind = MESH_CANCEL, .eval = EVAL, .token = 5});
    settle(self);
    struct work stopped = last_work(node, MESH_CLONE_STOP);
    assert_true(work_is_same(&stopped, &work));
    assert_non_null(last_seen(node, MESH_FORGET_SECRET));
    cloned(node, &work, 1); /* it had come to its end before it heard so */
    assert_int_equal(node->write_count, 0);
    meshes_free(self);
}

static void test_what_could_not_be_written_is_cloned_again(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(1, 1);
    struct node *node = &self->nodes[0];
    submit_git(node, 0);
    settle(self);
    struct work work = last_work(node, MESH_CLONE);
    node->is_disk_stopped = true;
    cloned(node, &work, 1);
    disk_fails(node);
    assert_int_equal(count_seen(node, MESH_CLONE), 1);
    node->is_disk_stopped = false;
    pass(self, 3000);
    assert_int_equal(count_seen(node, MESH_CLONE), 2);
    assert_int_equal(last_work(node, MESH_CLONE).n, work.n + 1);
    meshes_free(self);
}

/* ---- with others ----------------------------------------------------------------------------- */

static void test_who_asks_hears_of_clones(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(2, 1);
    struct node *owner = &self->nodes[0], *other = &self->nodes[1];
    struct mesh_clone clone;
    submit_git(owner, 0);
    settle(self);
    struct work work = last_work(owner, MESH_CLONE);
    progress(owner, &work);
    assert_int_equal(cloning(other, &clone), 0);
    tell(other, (struct mesh_event){.kind = MESH_ASK, .eval = EVAL, .token = 5});
    settle(self);
    assert_int_equal(cloning(other, &clone), 1);
    assert_int_equal(clone.phase, MESH_CLONE_RECEIVING);
    assert_int_equal(clone.objects, 7);
    assert_int_equal(clone.tries, 2);
    meshes_free(self);
}

static void test_a_replica_keeps_the_bundle(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(2, 1);
    struct node *owner = &self->nodes[0], *other = &self->nodes[1];
    submit_git(owner, 0);
    settle(self);
    struct work work = last_work(owner, MESH_CLONE);
    other->docs.lacks_blobs = true;
    cloned(owner, &work, 1);
    settle(self);
    size_t fetches = count_seen(other, MESH_FETCH);
    assert_true(fetches >= 1);
    assert_false(last_seen(other, MESH_FETCH)->has_secret);
    const struct seen *first = last_seen(other, MESH_FETCH);
    assert_int_equal(first->blob_count, 1);
    assert_int_equal(first->sources[0], owner->id);
    for (size_t i = 0; i < other->seen_count; i++) /* its chore's, if it has one, too */
        if (other->seen[i].kind == MESH_FETCH)
            tell(other, (struct mesh_event){.kind = MESH_FETCHED, .token = other->seen[i].token});
    fetches = count_seen(other, MESH_FETCH);
    pass(self, 2500);
    assert_true(count_seen(other, MESH_FETCH) > fetches); /* again */
    assert_null(last_seen(other, MESH_CLONE));
    meshes_free(self);
}

static void test_the_secret_is_on_the_replicas_until_all_is_here(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(2, 1);
    struct node *owner = &self->nodes[0], *other = &self->nodes[1];
    other->docs.lacks_blobs = true;
    submit_git(owner, SECRET);
    settle(self);
    assert_null(last_seen(owner, MESH_ACCEPTED));
    assert_true(last_seen(other, MESH_FETCH)->has_secret);
    other->docs.lacks_blobs = false;
    fetched(other, true);
    settle(self);
    assert_non_null(last_seen(owner, MESH_ACCEPTED));
    assert_null(last_seen(other, MESH_FORGET_SECRET));
    struct work work = last_work(owner, MESH_CLONE);
    cloned(owner, &work, 1);
    settle(self);
    assert_non_null(last_seen(owner, MESH_FORGET_SECRET));
    assert_non_null(last_seen(other, MESH_FORGET_SECRET));
    meshes_free(self);
}

static void test_another_one_goes_on(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(3, 1);
    struct node *owner = &self->nodes[0];
    submit_git(owner, SECRET);
    settle(self);
    assert_non_null(last_seen(owner, MESH_ACCEPTED));
    mesh_free(owner->mesh);
    owner->mesh = NULL;
    pass(self, 20000);
    size_t clones =
        count_seen(&self->nodes[1], MESH_CLONE) + count_seen(&self->nodes[2], MESH_CLONE);
    assert_int_equal(clones, 1);
    struct node *next = &self->nodes[count_seen(&self->nodes[1], MESH_CLONE) ? 1 : 2];
    struct work work = last_work(next, MESH_CLONE);
    assert_true(work.ballot.epoch > 1);
    next->modules = self->nodes[3 - (next - self->nodes)].modules = 1;
    cloned(next, &work, 1);
    pass(self, 5000);
    assert_true(doc_is_final(doc_of(next, EVAL)));
    meshes_free(self);
}

/* Another owner's commit came to count while a node got the project ready: that is of no use. */
static void test_a_chore_of_another_commit_is_stopped(void **state)
{
    (void)state;
    struct meshes *self = meshes_new(2, 1);
    struct node *owner = &self->nodes[0];
    submit_git(owner, 0);
    settle(self);
    struct work work = last_work(owner, MESH_CLONE);
    cloned(owner, &work, 1);
    pass(self, 1000);
    struct node *node = &self->nodes[last_seen(owner, MESH_PREPARE) ? 0 : 1];
    struct node *other = &self->nodes[node == owner ? 1 : 0];
    struct work chore = last_work(node, MESH_PREPARE);
    struct doc_source later = source_of(&work, 2);
    later.ballot.epoch += 7;
    later.hash = doc_source_hash(&later);
    owned_buf delta = BUF_INIT;
    delta_encode(&(struct delta){.id = EVAL, .sources = &later, .source_count = 1}, &delta);
    hear(node, other,
         &(struct wire_msg){
             .kind = WIRE_DELTA,
             .delta = {.eid = EVAL, .delta = {(const uint8_t *)delta.data, delta.len}}});
    settle(self);
    struct work stopped = last_work(node, MESH_STOP);
    assert_true(work_is_same(&stopped, &chore));
    makes_plan(node, &chore, 2); /* it is done all the same */
    settle(self);
    assert_null(doc_plan(doc_of(node, EVAL), 0));
    assert_true(mesh_counters(node->mesh).other_trees > 0);
    meshes_free(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_runs_before_it_is_cloned),
        cmocka_unit_test(test_a_repository_that_is_not_there_fails_its_project),
        cmocka_unit_test(test_a_cancel_ends_the_clone),
        cmocka_unit_test(test_what_could_not_be_written_is_cloned_again),
        cmocka_unit_test(test_who_asks_hears_of_clones),
        cmocka_unit_test(test_a_replica_keeps_the_bundle),
        cmocka_unit_test(test_the_secret_is_on_the_replicas_until_all_is_here),
        cmocka_unit_test(test_another_one_goes_on),
        cmocka_unit_test(test_a_chore_of_another_commit_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
