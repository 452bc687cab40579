//! The record layouts, hook numbers and map keys that kernel and user space share.
#![no_std]
