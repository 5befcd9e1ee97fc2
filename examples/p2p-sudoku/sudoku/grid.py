"""Sudoku grids: nine lists of nine numbers, 0 where a cell is empty."""

NUMBERS = set(range(1, 10))


def units(grid):
    yield from grid
    yield from zip(*grid)
    for row in (0, 3, 6):
        for column in (0, 3, 6):
            yield [grid[row + r][column + c] for r in range(3) for c in range(3)]


def is_solved(grid):
    return all(set(unit) == NUMBERS for unit in units(grid))


def candidates(grid, row, column):
    used = set(grid[row]) | {line[column] for line in grid}
    top, left = 3 * (row // 3), 3 * (column // 3)
    used |= {grid[top + r][left + c] for r in range(3) for c in range(3)}
    return NUMBERS - used


def solve(grid):
    """(the solved grid or None, how many placements were tried)."""
    work = [list(row) for row in grid]
    tried = search(work)
    return (work if is_solved(work) else None), tried


def search(grid):
    """Fills `grid`, fewest candidates first; returns how many placements were tried."""
    open_cells = [(r, c) for r in range(9) for c in range(9) if not grid[r][c]]
    if not open_cells:
        return 0
    row, column = min(open_cells, key=lambda cell: len(candidates(grid, *cell)))
    tried = 0
    for number in sorted(candidates(grid, row, column)):
        grid[row][column] = number
        tried += 1 + search(grid)
        if all(all(line) for line in grid):
            return tried
    grid[row][column] = 0
    return tried
