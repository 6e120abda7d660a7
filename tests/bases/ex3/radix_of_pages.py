"""Right: laid out as SGLang's radix cache, with what this contract asks beyond it.

Nodes hold runs of pages and are split by a match; a lock walks up to the root. SGLang evicts whole leaves, in the order
of their last access, and trusts the caller's blocks; here a leaf is shortened from its end, and blocks are looked up.
"""

import heapq
from collections import defaultdict

from reference_engine.slots import Inserted, Match


class TreeNode:
    def __init__(self, parent=None):
        self.children = {}
        self.parent = parent
        self.key, self.value = [], []
        self.lock_ref = self.held = 0
        self.last_access_time = 0
        self.number = 0  # of its newest entry in the heap

    def __lt__(self, other):
        return self.last_access_time < other.last_access_time


def match_len(key, pages, start):
    """How many pages of the edge are those of the text from `start` on."""
    count = 0
    for mine, theirs in zip(key, pages[start : start + len(key)], strict=False):
        if mine != theirs:
            break
        count += 1
    return count


class PrefixCache:
    def __init__(self, block_size):
        self.page_size = block_size
        self.roots = defaultdict(TreeNode)  # by extra key
        self.owned = set()
        self.evictable_size_ = self.protected_size_ = 0
        self.time = self.numbers = 0
        self.leaves = []

    @property
    def evictable(self):
        return self.evictable_size_

    @property
    def protected(self):
        return self.protected_size_

    def match(self, tokens, namespace=None):
        self.time += 1
        value, node = self._match_prefix(self._pages(tokens), namespace)
        self._access(node)
        return Match(len(value) * self.page_size, tuple(value), node)

    def insert(self, tokens, blocks, namespace=None):
        pages = self._pages(tokens)
        if len(blocks) < len(pages):
            raise ValueError(f"{len(pages)} pages, {len(blocks)} blocks")
        value, node = self._match_prefix(pages, namespace)
        fresh = list(blocks[len(value) : len(pages)])
        if len(set(fresh)) != len(fresh) or self.owned & set(fresh):
            raise ValueError("a block of another page")
        self.time += 1
        if fresh:
            child = TreeNode(node)
            child.key, child.value = pages[len(value) :], fresh
            node.children[child.key[0]] = child
            self.owned.update(fresh)
            self.evictable_size_ += len(fresh)
            node = child
        self._access(node)
        return Inserted(len(value) * self.page_size, node)

    def lock(self, node):
        node.held += 1
        while node.parent is not None:
            if node.lock_ref == 0:
                self.evictable_size_ -= len(node.value)
                self.protected_size_ += len(node.value)
            node.lock_ref += 1
            node = node.parent

    def unlock(self, node):
        if not node.held:
            raise ValueError("no lock to undo")
        node.held -= 1
        while node.parent is not None:
            node.lock_ref -= 1
            if node.lock_ref == 0:
                self.evictable_size_ += len(node.value)
                self.protected_size_ -= len(node.value)
                self._leaf(node)
            node = node.parent

    def evict(self, num_blocks):
        freed = []
        while len(freed) < num_blocks and self.leaves:
            _, number, leaf = heapq.heappop(self.leaves)
            if number != leaf.number or not self._is_leaf(leaf):
                continue
            freed.append(leaf.value.pop())
            first = leaf.key[0]
            leaf.key.pop()
            self.owned.remove(freed[-1])
            self.evictable_size_ -= 1
            if leaf.value:
                self._leaf(leaf)
            else:
                del leaf.parent.children[first]
                self._leaf(leaf.parent)
        return freed

    def _pages(self, tokens):
        size = self.page_size
        return [tuple(tokens[at : at + size]) for at in range(0, len(tokens) - size + 1, size)]

    def _match_prefix(self, pages, extra_key):
        node, value = self.roots[extra_key], []
        while len(value) < len(pages) and pages[len(value)] in node.children:
            child = node.children[pages[len(value)]]
            length = match_len(child.key, pages, len(value))
            if length < len(child.key):
                child = self._split_node(child, length)
            value += child.value
            node = child
            if length == 0:
                break
        return value, node

    def _split_node(self, child, length):
        new = TreeNode(child.parent)
        new.lock_ref, new.last_access_time = child.lock_ref, child.last_access_time
        new.key, new.value = child.key[:length], child.value[:length]
        child.parent.children[new.key[0]] = new
        child.parent, child.key, child.value = new, child.key[length:], child.value[length:]
        new.children[child.key[0]] = child
        return new

    def _access(self, node):
        end = node
        while node.parent is not None:
            node.last_access_time = self.time
            node = node.parent
        self._leaf(end)

    def _is_leaf(self, node):
        return node.parent is not None and bool(node.value) and not node.children and not node.lock_ref

    def _leaf(self, node):
        """The newest entry of a leaf counts; older ones are passed over."""
        if self._is_leaf(node):
            self.numbers += 1
            node.number = self.numbers
            heapq.heappush(self.leaves, (node.last_access_time, node.number, node))
