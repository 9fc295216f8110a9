//! Real answers and made-up histories, read.
