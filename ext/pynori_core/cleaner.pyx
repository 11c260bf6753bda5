"""Counting dead rows, and the two kinds of passes over the groups that hold them."""

from libc.stdint cimport uint64_t
from libc.string cimport memset

from pynori_core.bits cimport atomic_add64, max64, min64
from pynori_core.btree cimport tree_header
from pynori_core.errors cimport E_NOT_FOUND, OK
from pynori_core.format cimport TreeHeader
from pynori_core.table cimport CLEAN_BAR_ALL, CLEAN_BAR_STRICT, Table, table_clean
from pynori_core.tables cimport DatabaseState


cdef void cleaner_init(Cleaner* cleaner) noexcept nogil:
    memset(cleaner, 0, sizeof(Cleaner))
    cleaner.pressing.bar = CLEAN_BAR_STRICT
    cleaner.idle.bar = CLEAN_BAR_ALL


cdef void cleaner_count(Cleaner* cleaner, Table* items, const DatabaseState* state) noexcept nogil:
    cdef const TreeHeader* header = tree_header(&items.rows)
    cdef uint64_t alive = state.documents + state.tombstones + state.versions
    cleaner.dead = header.entries - alive if header != NULL and header.entries > alive else 0
    if not cleaner.counted:
        cleaner.counted = True
        cleaner.deleted = state.tombstones
    else:
        cleaner.deleted += cleaner.documents - min64(cleaner.documents, state.documents)
        cleaner.deleted += cleaner.tombstones - min64(cleaner.tombstones, state.tombstones)
    cleaner.deleted = min64(cleaner.deleted, cleaner.dead)
    cleaner.documents = state.documents
    cleaner.tombstones = state.tombstones


cdef bint pass_rests(const CleanPass* clean_pass, uint64_t dead) noexcept nogil:
    """After a pass that found nothing, only more dead rows make another one worth while."""
    cdef uint64_t rest = clean_pass.rest_dead
    return rest != 0 and dead <= rest + max64(CLEAN_DEAD_MIN, rest // 16)


cdef int pass_step(Cleaner* cleaner, CleanPass* clean_pass, Table* items, uint64_t rows_max,
                   bint* ended) noexcept nogil:
    """One step; `ended` tells that it was the last one of a pass."""
    cdef const TreeHeader* header = tree_header(&items.rows)
    cdef uint64_t before = header.entries if header != NULL else 0
    cdef uint64_t freed = 0
    cdef int code = table_clean(items, &clean_pass.position, rows_max, clean_pass.bar, &freed)
    header = tree_header(&items.rows)
    if header != NULL and header.entries < before:
        cleaner.deleted -= min64(cleaner.deleted, before - header.entries)
    atomic_add64(&cleaner.pages_freed, freed)
    clean_pass.freed += freed
    ended[0] = code != OK
    if code == E_NOT_FOUND:
        clean_pass.rest_dead = cleaner.dead if clean_pass.freed == 0 and clean_pass.bar == CLEAN_BAR_ALL else 0
        clean_pass.freed = 0
        return OK
    if code != OK:
        clean_pass.rest_dead = cleaner.dead    # it fails those who wrote now, and not those who write next
    return code


cdef int cleaner_press(Cleaner* cleaner, Table* items, const DatabaseState* state, uint64_t commands) noexcept nogil:
    cdef CleanPass* pressing = &cleaner.pressing
    cdef uint64_t threshold, excess, rows
    cdef bint ended = False
    cdef int code
    cleaner_count(cleaner, items, state)
    threshold = cleaner.documents * 2 // 3
    threshold -= min64(threshold, cleaner.deleted)
    if cleaner.dead <= threshold + CLEAN_DEAD_MIN:
        pressing.bar = CLEAN_BAR_STRICT
        return OK
    if pass_rests(pressing, cleaner.dead):
        return OK
    # More than the writing makes, so that deleted documents leave room for those that come next.
    excess = (cleaner.dead - threshold) * CLEAN_ROWS_PER_EXCESS // max64(cleaner.documents, CLEAN_DEAD_MIN)
    cleaner.due += commands * (CLEAN_ROWS_PER_COMMAND + min64(excess, CLEAN_ROWS_PER_EXCESS))
    if cleaner.due < CLEAN_ROWS_MIN:
        return OK                  # a step cleans a group at least: single writes share one
    rows = cleaner.due
    cleaner.due = 0
    code = pass_step(cleaner, pressing, items, rows, &ended)
    if ended:
        pressing.bar = CLEAN_BAR_ALL if pressing.bar * 2 > CLEAN_BAR_ALL else pressing.bar * 2
    return code


cdef bint cleaner_wants_idle(Cleaner* cleaner) noexcept nogil:
    if not cleaner.idle_pass:
        cleaner.idle_pass = (cleaner.dead > cleaner.documents // 4 + CLEAN_DEAD_MIN
                             and not pass_rests(&cleaner.idle, cleaner.dead))
    return cleaner.idle_pass


cdef int cleaner_idle(Cleaner* cleaner, Table* items) noexcept nogil:
    cdef bint ended = False
    cdef int code = pass_step(cleaner, &cleaner.idle, items, CLEAN_IDLE_ROWS, &ended)
    cleaner.idle_pass = not ended
    return code
