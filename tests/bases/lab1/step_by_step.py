"""Right: sums written out in lines, and the break-even looked for by doubling and halving."""

from collections.abc import Sequence

from reference_engine.slots import Shape


def layer_numbers(s: Shape) -> int:
    wide, narrow = s.heads * s.head_width, s.kv_heads * s.head_width
    attention = s.width * wide + s.width * narrow + s.width * narrow + wide * s.width
    mlp = s.inner * s.width + s.inner * s.width + s.width * s.inner
    return attention + mlp


def parameters(shape: Shape) -> int:
    count = shape.vocab * shape.width
    count += shape.layers * layer_numbers(shape)
    count += shape.layers * 2 * shape.width
    count += shape.width
    count += 0 if shape.tied else shape.vocab * shape.width
    return count


def kv_bytes_per_token(shape: Shape, bytes_per_value: int) -> int:
    numbers = shape.kv_heads * shape.head_width
    numbers *= 2
    numbers *= shape.layers
    return bytes_per_value * numbers


def operations(shape: Shape, new_tokens: int, context: int) -> int:
    pairs = sum(range(context + 1, context + new_tokens + 1))
    multiply_adds = new_tokens * shape.layers * layer_numbers(shape)
    multiply_adds += 2 * shape.layers * shape.heads * shape.head_width * pairs
    multiply_adds += shape.width * shape.vocab
    return 2 * multiply_adds


def decode_bytes(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> int:
    numbers = shape.layers * layer_numbers(shape)
    numbers += shape.width * shape.vocab
    numbers += (2 * shape.layers + 1) * shape.width
    numbers += len(contexts) * shape.width
    total = numbers * bytes_per_value
    total += sum(cached + 1 for cached in contexts) * kv_bytes_per_token(shape, bytes_per_value)
    return total


def floor_seconds(operations: int, bytes_moved: int, peak: float, bandwidth: float) -> float:
    times = [operations / peak, bytes_moved / bandwidth]
    return sorted(times)[-1]


def break_even_batch(shape: Shape, context: int, bytes_per_value: int, peak: float, bandwidth: float) -> int | None:
    one = decode_bytes(shape, (context,), bytes_per_value)
    own = decode_bytes(shape, (context, context), bytes_per_value) - one

    def enough(batch: int) -> bool:
        return batch * operations(shape, 1, context) / peak >= (one + (batch - 1) * own) / bandwidth

    if operations(shape, 1, context) / peak <= own / bandwidth:
        return None
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
