"""One-to-one matching of least cost (Kuhn 1955), in the graph of a training step.

Shapes: B images, S rows, N columns, N not below S.
"""

from keras import ops

from mrcnn.ops.by_image import by_image

FAR = 1e9  # above any cost


@by_image
def match(costs, wanted):
    """The column of each row, so that the sum of costs is least and no column has two rows.

    The Hungarian method by shortest augmenting paths, as `scipy.optimize.linear_sum_assignment`;
    where several matchings cost the same, either is returned. Images of a batch go side by side.

    Args:
        costs: float [B, S, N].
        wanted: bool [B, S], rows that are matched.

    Returns:
        int32 [B, S], -1 for rows that are not wanted.
    """
    costs = ops.stop_gradient(ops.cast(costs, "float32"))
    rows, columns = costs.shape[1:]
    if rows > columns:
        raise ValueError(f"expected as many columns as rows at least, received {rows}, {columns}")
    # A column more, the first, stands for the row that is being added.
    costs = ops.pad(costs, [(0, 0), (0, 0), (1, 0)], constant_values=FAR)
    batch = ops.shape(costs)[0]
    zeros = ops.zeros((batch, columns + 1))
    state = (
        ops.convert_to_tensor(0),
        zeros[:, :1] + ops.zeros((1, rows)),  # potentials of the rows
        zeros,  # and of the columns
        ops.cast(zeros, "int32") - 1,  # the row of each column
    )
    last = ops.max(ops.where(wanted, ops.arange(rows)[None] + 1, 0))

    def add_row(row, of_rows, of_columns, owner):
        here = ops.take(wanted, row, axis=1)  # (B,)
        found = _add_row(costs, row, here, of_rows, of_columns, owner)
        return row + 1, *found

    *_, owner = ops.while_loop(lambda row, *_: row < last, add_row, state)
    # (B, S, N): a row has at most one column.
    pairs = owner[:, None, 1:] == ops.arange(rows, dtype="int32")[None, :, None]
    found = ops.cast(ops.argmax(ops.cast(pairs, "int32"), axis=2), "int32")
    return ops.where(ops.any(pairs, axis=2), found, -1)


def _add_row(costs, row, here, of_rows, of_columns, owner):
    """Potentials and owners once a row has its column too, in images where it is wanted.

    The cheapest path from the row to a free column is grown one column at a time; then each row on
    it moves to the next column.

    Args:
        costs: float [B, S, N + 1].
        row: int.
        here: bool [B].
        of_rows: float [B, S], potentials; `of_columns` [B, N + 1].
        owner: int [B, N + 1], the row of each column, -1 where there is none.
    """
    batch, width = ops.shape(costs)[0], costs.shape[2]
    columns = ops.arange(width, dtype="int32")[None]
    owner = ops.where(columns == 0, row, owner)
    blank = ops.zeros((batch, width))
    grown = (
        here,  # whether the path still grows
        ops.zeros((batch,), "int32"),  # its last column
        blank > 0,  # the columns that it has seen
        blank + FAR,  # the cost of the way to each other column
        ops.zeros((batch, width), "int32"),  # and the column before it on that way
        of_rows,
        of_columns,
    )

    def grow(grows, last, seen, way, before, of_rows, of_columns):
        at_last = columns == last[:, None]
        seen = seen | (at_last & grows[:, None])
        at = ops.max(ops.where(at_last, owner, -1), axis=1)  # the row of the last column
        is_row = ops.arange(costs.shape[1], dtype="int32")[None] == at[:, None]  # (B, S)
        reduced = ops.sum(ops.where(is_row[:, :, None], costs - of_rows[:, :, None], 0.0), axis=1)
        reduced = reduced - of_columns
        shorter = (reduced < way) & ~seen & grows[:, None]
        way = ops.where(shorter, reduced, way)
        before = ops.where(shorter, last[:, None], before)
        free = ops.where(seen, 2 * FAR, way)
        step = ops.where(grows, ops.min(free, axis=1), 0.0)[:, None]
        nearest = ops.cast(ops.argmin(free, axis=1), "int32")
        # Rows and columns on the way pay, so that all reduced costs stay 0 or more.
        owned = owner[:, None, :] == ops.arange(costs.shape[1], dtype="int32")[None, :, None]
        on_way = ops.any(owned & seen[:, None, :], axis=2)
        of_rows = of_rows + ops.where(on_way, step, 0.0)
        of_columns = of_columns - ops.where(seen, step, 0.0)
        way = way - ops.where(seen, 0.0, step)
        last = ops.where(grows, nearest, last)
        taken = ops.max(ops.where(columns == last[:, None], owner, -1), axis=1) >= 0
        return grows & taken, last, seen, way, before, of_rows, of_columns

    _, last, _, _, before, of_rows, of_columns = ops.while_loop(
        lambda grows, *_: ops.any(grows), grow, grown
    )

    def move(last, owner):
        at_last = columns == last[:, None]
        origin = ops.sum(ops.where(at_last, before, 0), axis=1)
        mover = ops.max(ops.where(columns == origin[:, None], owner, -1), axis=1)
        owner = ops.where(at_last & (last > 0)[:, None], mover[:, None], owner)
        return origin, owner

    _, owner = ops.while_loop(lambda last, _: ops.any(last > 0), move, (last, owner))
    return of_rows, of_columns, owner
