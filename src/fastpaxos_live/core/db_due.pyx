# Keys by deadline: a tree of marks (deadline, hash of the key, serial number of the entry), wide nodes, each child
# counted. reference/db_due.py has the words.
#
# 1. All leaves are equally deep. No node but the root has fewer than DUE_MIN marks.
# 2. The marks of a leaf, and those of all leaves from left to right, are in order. No two are equal.
# 3. In an inner node counts[i] is how many marks are below children[i], and no mark there is below marks[i] or, up to
#    the next child, not below marks[i + 1]. marks[0] of the leftmost nodes says nothing.
#
# No step takes more than the depth times DUE_MAX, so neither a jump of the time nor growth is felt.

cdef enum:
    DUE_MAX = 64     # marks of a node
    DUE_MIN = 16

cdef struct Mark:
    uint64_t deadline
    uint64_t hash
    uint64_t serial      # of the entry: whoever chooses keys can make their hashes equal

# A leaf; an inner node begins with it.
cdef struct DueNode:
    uint32_t used
    bint leaf
    Mark marks[DUE_MAX]

cdef struct DueInner:
    DueNode node
    uint64_t counts[DUE_MAX]
    DueNode *children[DUE_MAX]

cdef inline DueInner *due_inner(const DueNode *node) noexcept nogil:
    return <DueInner *>node


cdef inline bint due_before(const Mark *a, const Mark *b) noexcept nogil:
    if a.deadline != b.deadline:
        return a.deadline < b.deadline
    return a.hash < b.hash or (a.hash == b.hash and a.serial < b.serial)


cdef inline bint due_same(const Mark *a, const Mark *b) noexcept nogil:
    return a.deadline == b.deadline and a.hash == b.hash and a.serial == b.serial


cdef inline uint32_t due_lower(const DueNode *node, const Mark *mark) noexcept nogil:
    # How many marks of the node are below this one.
    cdef uint32_t low = 0, high = node.used, middle
    while low < high:
        middle = (low + high) // 2
        if due_before(&node.marks[middle], mark):
            low = middle + 1
        else:
            high = middle
    return low


cdef inline uint32_t due_upper(const DueNode *node, const Mark *mark) noexcept nogil:
    # How many are not above it.
    cdef uint32_t low = 0, high = node.used, middle
    while low < high:
        middle = (low + high) // 2
        if due_before(mark, &node.marks[middle]):
            high = middle
        else:
            low = middle + 1
    return low


cdef inline uint32_t due_child(const DueNode *node, const Mark *mark) noexcept nogil:
    # The child below which the mark is or belongs.
    cdef uint32_t at = due_upper(node, mark)
    return at - 1 if at else 0


cdef DueNode *due_new(bint leaf) noexcept nogil:
    cdef DueNode *node = <DueNode *>fdb_allocate(NULL, sizeof(DueNode) if leaf else sizeof(DueInner))
    node.used = 0
    node.leaf = leaf
    return node


cdef void due_copy(DueNode *to, uint32_t to_at, const DueNode *source, uint32_t at, uint32_t count) noexcept nogil:
    memmove(&to.marks[to_at], &source.marks[at], count * sizeof(Mark))
    if not to.leaf:
        memmove(&due_inner(to).counts[to_at], &due_inner(source).counts[at], count * sizeof(uint64_t))
        memmove(&due_inner(to).children[to_at], &due_inner(source).children[at], count * sizeof(DueNode *))


cdef uint64_t due_total(const DueNode *node) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t i
    if node == NULL or node.leaf:
        return node.used if node != NULL else 0
    for i in range(node.used):
        total += due_inner(node).counts[i]
    return total


cdef void due_split(DueNode *parent, uint32_t i) noexcept nogil:
    # The full child i becomes two.
    cdef DueNode *left = due_inner(parent).children[i]
    cdef DueNode *right = due_new(left.leaf)
    cdef uint32_t at = DUE_MAX // 2
    right.used = left.used - at
    due_copy(right, 0, left, at, right.used)
    left.used = at
    due_copy(parent, i + 2, parent, i + 1, parent.used - i - 1)
    parent.used += 1
    parent.marks[i + 1] = right.marks[0]
    due_inner(parent).children[i + 1] = right
    due_inner(parent).counts[i + 1] = due_total(right)
    due_inner(parent).counts[i] -= due_inner(parent).counts[i + 1]


cdef void due_fill(DueNode *parent, uint32_t i) noexcept nogil:
    # Child i gets marks from its neighbour, or becomes one with it.
    cdef uint32_t count, at
    cdef DueNode *left
    cdef DueNode *right
    if i + 1 == parent.used:
        i -= 1
    left, right = due_inner(parent).children[i], due_inner(parent).children[i + 1]
    if not right.leaf:
        right.marks[0] = parent.marks[i + 1]
    if left.used + right.used <= DUE_MAX:
        due_copy(left, left.used, right, 0, right.used)
        left.used += right.used
        due_inner(parent).counts[i] += due_inner(parent).counts[i + 1]
        due_copy(parent, i + 1, parent, i + 2, parent.used - i - 2)
        parent.used -= 1
        free(right)
        return
    if left.used < right.used:
        count = (right.used - left.used) // 2
        due_copy(left, left.used, right, 0, count)
        left.used += count
        right.used -= count
        due_copy(right, 0, right, count, right.used)
    else:
        at = (left.used + right.used) // 2
        count = left.used - at
        due_copy(right, count, right, 0, right.used)
        due_copy(right, 0, left, at, count)
        left.used = at
        right.used += count
    parent.marks[i + 1] = right.marks[0]
    due_inner(parent).counts[i] = due_total(left)
    due_inner(parent).counts[i + 1] = due_total(right)


cdef void due_add(DueNode **root, const Mark *mark) noexcept nogil:
    # One that is not there.
    cdef DueNode *node = root[0]
    cdef uint32_t at
    if node == NULL:
        node = root[0] = due_new(True)
    elif node.used == DUE_MAX:
        root[0] = due_new(False)
        root[0].used = 1
        root[0].marks[0] = node.marks[0]
        due_inner(root[0]).children[0] = node
        due_inner(root[0]).counts[0] = due_total(node)
        due_split(root[0], 0)
        node = root[0]
    while not node.leaf:
        at = due_child(node, mark)
        if due_inner(node).children[at].used == DUE_MAX:
            due_split(node, at)
            at = due_child(node, mark)
        due_inner(node).counts[at] += 1
        node = due_inner(node).children[at]
    at = due_lower(node, mark)
    due_copy(node, at + 1, node, at, node.used - at)
    node.marks[at] = mark[0]
    node.used += 1


cdef void due_remove(DueNode **root, const Mark *mark) noexcept nogil:
    # One that is there.
    cdef DueNode *node = root[0]
    cdef uint32_t at
    while not node.leaf:
        at = due_child(node, mark)
        if due_inner(node).children[at].used <= DUE_MIN and node.used > 1:
            due_fill(node, at)
            at = due_child(node, mark)
        due_inner(node).counts[at] -= 1
        node = due_inner(node).children[at]
    at = due_lower(node, mark)
    expect(at < node.used and due_same(&node.marks[at], mark), b"a deadline is not among the deadlines")
    node.used -= 1
    due_copy(node, at, node, at + 1, node.used - at)
    while not root[0].leaf and root[0].used == 1:
        node = root[0]
        root[0] = due_inner(node).children[0]
        free(node)
    if not root[0].used:
        free(root[0])
        root[0] = NULL


cdef Mark *due_first(DueNode *root) noexcept nogil:
    # The earliest; NULL without any.
    if root == NULL:
        return NULL
    while not root.leaf:
        root = due_inner(root).children[0]
    return &root.marks[0]


cdef uint64_t due_count(const DueNode *node, uint64_t time_ms) noexcept nogil:
    # How many are due at that time.
    cdef uint64_t total = 0
    cdef uint32_t at, i
    cdef Mark mark
    mark.deadline = time_ms
    mark.hash = mark.serial = <uint64_t>-1
    if node == NULL:
        return 0
    while not node.leaf:
        at = due_child(node, &mark)
        for i in range(at):
            total += due_inner(node).counts[i]
        node = due_inner(node).children[at]
    return total + due_upper(node, &mark)


cdef bint due_has(const DueNode *node, const Mark *mark) noexcept nogil:
    cdef uint32_t at
    if node == NULL:
        return False
    while not node.leaf:
        node = due_inner(node).children[due_child(node, mark)]
    at = due_lower(node, mark)
    return at < node.used and due_same(&node.marks[at], mark)


cdef void due_free_leaf(DueNode **root) noexcept nogil:
    # Takes a tree that nobody uses any more apart: one leaf, and what has nothing below it then.
    cdef DueNode *node = root[0]
    cdef DueNode *parent = NULL
    while not node.leaf and node.used:
        parent = node
        node = due_inner(node).children[node.used - 1]
    free(node)
    if parent == NULL:
        root[0] = NULL
    else:
        parent.used -= 1


cdef uint64_t due_check(DueNode *node, Mark *low, Mark *high) noexcept nogil:
    # The invariants below this node, whose marks lie between these (NULL: no bound); how many they are.
    cdef uint64_t total = 0, below
    cdef uint32_t i
    cdef DueNode *child
    if node.leaf:
        for i in range(node.used):
            expect(i == 0 or not due_before(&node.marks[i], &node.marks[i - 1]), b"deadlines: a leaf is out of order")
            expect(
                (low == NULL or not due_before(&node.marks[i], low))
                and (high == NULL or due_before(&node.marks[i], high)), b"deadlines: a mark is in the wrong leaf")
        return node.used
    for i in range(node.used):
        child = due_inner(node).children[i]
        expect(child.leaf == due_inner(node).children[0].leaf, b"deadlines: leaves are not equally deep")
        expect(child.used >= DUE_MIN, b"deadlines: a node has too few marks")
        below = due_check(
            child, &node.marks[i] if i else low, &node.marks[i + 1] if i + 1 < node.used else high)
        expect(below == due_inner(node).counts[i], b"deadlines: a count is wrong")
        total += below
    return total
