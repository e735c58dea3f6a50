"""Estimators for scikit-learn, which is needed here only: the extra `sklearn`."""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastvae.sklearn needs scikit-learn 1.6 or later: pip install 'fastvae-cpu[sklearn]' "
        "(in a clone: pip install '.[sklearn]')"
    ) from error
