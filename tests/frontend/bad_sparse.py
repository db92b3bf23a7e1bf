"""bad_sparse.py - sparse initializers that are not what they should be; bad_input.py runs them."""
import numpy as np
from bad_case import case, model_of
from onnx import helper as h
from onnx import numpy_helper


def with_sparse(values, indices, dims, name="w"):
    m = model_of([h.make_node("MatMul", ["x", "w"], ["y"], name="product")])
    s = h.make_sparse_tensor(numpy_helper.from_array(np.float32(values), name), numpy_helper.from_array(np.array(indices), "at"), dims)
    m.graph.sparse_initializer.append(s)
    return m


@case(1, r"sparse initializer 'w': index 1 lies outside of its shape")
def sparse_index_too_large(_):
    return with_sparse([1, 2], [0, 9], [3, 3])


@case(1, r"sparse initializer 'w': index 0 lies outside of its shape")
def sparse_index_negative(_):
    return with_sparse([1, 2], [[0, -1], [1, 1]], [3, 3])


@case(1, r"sparse initializer 'w': index 1 is not larger than the one before it")
def sparse_index_unsorted(_):
    return with_sparse([1, 2], [5, 4], [3, 3])


@case(1, r"sparse initializer 'w': index 2 is not larger than the one before it")
def sparse_index_twice(_):
    return with_sparse([1, 2, 3], [[0, 1], [1, 1], [1, 1]], [3, 3])


@case(1, r"sparse initializer 'w': its 2 values need as many i64 indices, \[n\] or \[n, 2\]")
def sparse_too_few_indices(_):
    return with_sparse([1, 2], [4], [3, 3])


@case(1, r"sparse initializer 'w': its 2 values need as many i64 indices")
def sparse_wrong_tuples(_):
    return with_sparse([1, 2], [[0, 1, 2], [1, 1, 1]], [3, 3])


@case(1, r"sparse initializer 'w': its 2 values need as many i64 indices")
def sparse_i32_indices(_):
    return with_sparse([1, 2], np.int32([1, 4]), [3, 3])


@case(1, r"sparse initializer 'w' has a negative dim or more elements than fit in memory")
def sparse_negative_dim(_):
    return with_sparse([1], [1], [3, -3])


@case(1, r"sparse initializer 'w' has 1000000000000 elements for 1 values; the limit is 256 for each")
def sparse_asks_for_memory(_):
    return with_sparse([1], [1], [1000000, 1000000])


@case(1, r"sparse initializer 'w' has rank 9; the limit is 8")
def sparse_rank(_):
    return with_sparse([1], [0], [1] * 9)


@case(1, r"sparse initializer 0 has no name")
def sparse_nameless(_):
    return with_sparse([1], [0], [3, 3], "")


@case(1, r"sparse initializer 'w' has no indices")
def sparse_no_indices(_):
    m = with_sparse([1], [0], [3, 3])
    m.graph.sparse_initializer[0].ClearField("indices")
    return m


@case(1, r"the name 'w' is given to two values")
def sparse_named_twice(_):
    m = with_sparse([1], [0], [3, 3])
    m.graph.initializer.append(numpy_helper.from_array(np.zeros((3, 3), np.float32), "w"))
    return m
