"""Headers of real programs, and which of their columns are frame, photons, background and precision."""

from __future__ import annotations

import pytest

from caml_dask.io.readers.carried import find_carried
from caml_dask.schema import CARRIED

ALL = tuple(column.name for column in CARRIED)
THUNDERSTORM = (
    *("id", "frame", "sigma [nm]", "intensity [photon]", "offset [photon]", "bkgstd [photon]"),
    *("chi2", "uncertainty_xy [nm]", "uncertainty_z [nm]"),
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            THUNDERSTORM,
            {
                "frame": ("frame", 1.0),
                "photons": ("intensity [photon]", 1.0),
                "background_photons": ("offset [photon]", 1.0),
                "uncertainty_nm": ("uncertainty_xy [nm]", 1.0),
                "uncertainty_z_nm": ("uncertainty_z [nm]", 1.0),
            },
        ),
        (("frame", "uncertainty [nm]"), {"frame": ("frame", 1.0), "uncertainty_nm": ("uncertainty [nm]", 1.0)}),
        (("Frame", "uncertainty [um]"), {"frame": ("Frame", 1.0), "uncertainty_nm": ("uncertainty [um]", 1e3)}),
        (("frame", "phot", "bg", "locprecnm"), {"frame": ("frame", 1.0), "photons": ("phot", 1.0)}),
        (("intensity [ADU]", "offset [ADU]", "uncertainty [px]"), {}),
        (("intensity", "offset", "uncertainty"), {}),
        (("frame", "frame number"), {"frame": ("frame", 1.0)}),
        (("uncertainty_nm", "photons"), {"uncertainty_nm": ("uncertainty_nm", 1.0), "photons": ("photons", 1.0)}),
        ((), {}),
    ],
)
def test_columns_are_recognized_where_their_unit_is_sure(names, expected):
    assert {c.name: (c.column, c.factor) for c in find_carried(names, ALL)} == expected


def test_a_column_of_any_name_is_carried_as_it_is():
    (found,) = find_carried(THUNDERSTORM, ["chi2"])
    assert (found.name, found.column, found.factor) == ("chi2", "chi2", 1.0)
    assert find_carried(THUNDERSTORM, ["dye"]) == []
