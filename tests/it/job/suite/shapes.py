def area(side):
    """The area of a square.

    >>> area(3)
    9
    >>> area(2)
    5
    """
    return side * side
