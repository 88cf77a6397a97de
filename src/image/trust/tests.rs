// SPDX-License-Identifier: MIT
//! Decisions about images. The signatures were made with openssl; nothing here makes one.
