"""The catalog: finding, creating and naming trees; their headers, and what is said when one of their pages is
damaged."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from pynori_core.bits cimport unlikely
from pynori_core.errors cimport E_CORRUPT, E_INVALID, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.format cimport (
    CATALOG_TREES, PAGE_CATALOG, PAGE_SHIFT, PAGE_SIZE, PAGE_TYPE_CATALOG, PAGE_TYPE_LEAF, TREE_NAME_MAX, PageHeader,
    catalog_tree,
)
from pynori_core.txn cimport txn_allocate, txn_modify, txn_page

cdef enum:
    CATALOG_PAGES_MAX = 65536 // CATALOG_TREES


cdef const TreeHeader* tree_header(Tree* tree) noexcept nogil:
    cdef const uint8_t* page = txn_page(tree.txn, tree.catalog)
    if unlikely(page == NULL):
        return NULL
    return catalog_tree(page, tree.id % CATALOG_TREES)


cdef TreeHeader* header_modify(Tree* tree) noexcept nogil:
    cdef uint8_t* page = txn_modify(tree.txn, tree.catalog)
    if unlikely(page == NULL):
        return NULL
    return catalog_tree(page, tree.id % CATALOG_TREES)


cdef int tree_corrupt(Tree* tree, uint64_t page, const char* what) noexcept nogil:
    cdef const TreeHeader* header = tree_header(tree)
    cdef const char* name = NULL
    cdef int name_size = 0
    if header != NULL:
        name = <const char*>header.name
        name_size = <int>header.name_size if header.name_size <= TREE_NAME_MAX else TREE_NAME_MAX
    error_set(&tree.txn.error, E_CORRUPT, "data.pynori page %llu, tree %u '%.*s': %s", <unsigned long long>page,
              <unsigned>tree.id, name_size, name, what)
    tree.txn.error.offset = page << PAGE_SHIFT
    return E_CORRUPT


cdef const uint8_t* catalog_page(Txn* txn, uint64_t page) noexcept nogil:
    cdef const uint8_t* data = txn_page(txn, page)
    if unlikely(data == NULL):
        return NULL
    if unlikely((<const PageHeader*>data).type != PAGE_TYPE_CATALOG or (<const PageHeader*>data).page != page):
        error_set(&txn.error, E_CORRUPT, "data.pynori page %llu: not a catalog page", <unsigned long long>page)
        return NULL
    return data


cdef int catalog_find(Txn* txn, const char* name, size_t name_size, Tree* tree, uint64_t* free_page, uint32_t* free_id,
                      uint64_t* last_page, uint32_t* pages) noexcept nogil:
    """Find a tree by name: E_NOT_FOUND, with the first free place (free_page 0: none) and the last page of the
    chain."""
    cdef uint64_t page = PAGE_CATALOG
    cdef const uint8_t* data
    cdef const TreeHeader* header
    cdef uint32_t index
    free_page[0] = 0
    pages[0] = 0
    while page != 0:
        data = catalog_page(txn, page)
        if unlikely(data == NULL):
            return txn_failure(txn)
        if unlikely(pages[0] >= CATALOG_PAGES_MAX):
            error_set(&txn.error, E_CORRUPT, "data.pynori page %llu: endless chain of catalog pages",
                      <unsigned long long>page)
            return E_CORRUPT
        for index in range(<uint32_t>CATALOG_TREES):
            header = catalog_tree(data, index)
            if header.root == 0:
                if free_page[0] == 0:
                    free_page[0] = page
                    free_id[0] = pages[0] * CATALOG_TREES + index
            elif header.name_size == name_size and memcmp(header.name, name, name_size) == 0:
                memset(tree, 0, sizeof(Tree))
                tree.txn = txn
                tree.id = <uint16_t>(pages[0] * CATALOG_TREES + index)
                tree.flags = header.flags
                tree.catalog = page
                return OK
        last_page[0] = page
        pages[0] += 1
        page = (<const PageHeader*>data).link
    return E_NOT_FOUND


cdef int tree_open(Txn* txn, const char* name, size_t name_size, Tree* tree) noexcept nogil:
    cdef uint64_t free_page, last_page
    cdef uint32_t free_id, pages
    if name_size == 0 or name_size > TREE_NAME_MAX:
        return E_INVALID
    return catalog_find(txn, name, name_size, tree, &free_page, &free_id, &last_page, &pages)


cdef int tree_open_id(Txn* txn, uint16_t id, Tree* tree) noexcept nogil:
    cdef uint64_t page = PAGE_CATALOG
    cdef const uint8_t* data
    cdef uint32_t skip
    for skip in range(id // CATALOG_TREES + 1):
        if page == 0:
            return E_NOT_FOUND
        data = catalog_page(txn, page)
        if unlikely(data == NULL):
            return txn_failure(txn)
        if skip < id // CATALOG_TREES:
            page = (<const PageHeader*>data).link
    memset(tree, 0, sizeof(Tree))
    tree.txn = txn
    tree.id = id
    tree.catalog = page
    if catalog_tree(data, id % CATALOG_TREES).root == 0:
        return E_NOT_FOUND
    tree.flags = catalog_tree(data, id % CATALOG_TREES).flags
    return OK


cdef int catalog_extend(Txn* txn, uint64_t last_page, uint64_t* page) noexcept nogil:
    cdef uint8_t* data = txn_allocate(txn, 1, PAGE_TYPE_CATALOG, 0, page)
    if unlikely(data == NULL):
        return txn_failure(txn)
    # No gap: everything after the header is content.
    (<PageHeader*>data).lower = PAGE_SIZE
    data = txn_modify(txn, last_page)
    if unlikely(data == NULL):
        return txn_failure(txn)
    (<PageHeader*>data).link = page[0]
    return OK


cdef int tree_create(Txn* txn, const char* name, size_t name_size, uint16_t flags, Tree* tree) noexcept nogil:
    cdef uint64_t place, last_page, root
    cdef uint32_t id, pages
    cdef int code
    cdef uint8_t* data
    cdef TreeHeader* header
    if name_size == 0 or name_size > TREE_NAME_MAX:
        return E_INVALID
    code = catalog_find(txn, name, name_size, tree, &place, &id, &last_page, &pages)
    if code == OK:
        return OK if tree.flags == flags else E_INVALID
    if code != E_NOT_FOUND:
        return code
    if place == 0:
        id = pages * CATALOG_TREES
        if pages >= CATALOG_PAGES_MAX:
            error_set(&txn.error, E_TOO_LARGE, "more than %u trees", <unsigned>id)
            return E_TOO_LARGE
        code = catalog_extend(txn, last_page, &place)
        if code != OK:
            return code
    memset(tree, 0, sizeof(Tree))
    tree.txn = txn
    tree.id = <uint16_t>id
    tree.flags = flags
    tree.catalog = place
    if unlikely(txn_allocate(txn, 1, PAGE_TYPE_LEAF, tree.id, &root) == NULL):
        return txn_failure(txn)
    data = txn_modify(txn, place)
    if unlikely(data == NULL):
        return txn_failure(txn)
    (<PageHeader*>data).count += 1
    header = catalog_tree(data, id % CATALOG_TREES)
    memset(header, 0, sizeof(TreeHeader))
    header.root = root
    header.leaf_pages = 1
    header.depth = 1
    header.flags = flags
    header.name_size = <uint32_t>name_size
    memcpy(header.name, name, name_size)
    return OK


cdef int tree_adopt(Tree* tree, uint16_t rows) noexcept nogil:
    cdef TreeHeader* header = header_modify(tree)
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    header.rows = rows
    return OK


cdef int header_remove(Tree* tree) noexcept nogil:
    cdef uint8_t* page = txn_modify(tree.txn, tree.catalog)
    if unlikely(page == NULL):
        return txn_failure(tree.txn)
    memset(catalog_tree(page, tree.id % CATALOG_TREES), 0, sizeof(TreeHeader))
    (<PageHeader*>page).count -= 1
    return OK
