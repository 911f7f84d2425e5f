"""How kernels are compiled, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import types


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**{"cache": True, "nogil": True, "no_cfunc_wrapper": True, **options})(function)
        resolve = dispatcher.get_call_template

        def get_call_template(args: Any, kws: Any) -> Any:
            return resolve([types.unliteral(a) for a in args], {k: types.unliteral(v) for k, v in kws.items()})

        dispatcher.get_call_template = get_call_template
        return dispatcher

    return decorate
