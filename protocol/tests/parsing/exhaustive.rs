//! Every short line of a small alphabet: what random lines might miss.

use adit_protocol::parse::Parser;

use crate::reference::{by_parser, by_serde};

/// Compares both readings of `before` + each sequence of up to `count_max` parts + `behind`, and says how many were sound.
fn compare_all(parts: &[&str], count_max: usize, before: &str, behind: &str) -> usize {
    let mut parser = Parser::new();
    let (mut sound, mut line) = (0, Vec::new());
    let mut odometer = vec![0; 0];
    while odometer.len() <= count_max {
        line.clear();
        line.extend_from_slice(before.as_bytes());
        for &part in &odometer {
            line.extend_from_slice(parts[part as usize].as_bytes());
        }
        line.extend_from_slice(behind.as_bytes());
        let right = by_serde(&line);
        sound += usize::from(right.is_some());
        assert_eq!(by_parser(&mut parser, &line).ok(), right, "{}", String::from_utf8_lossy(&line));
        advance(&mut odometer, parts.len());
    }
    sound
}

/// Counts on in base `base`, one digit longer where all digits are the highest.
fn advance(digits: &mut Vec<u8>, base: usize) {
    for digit in digits.iter_mut() {
        *digit += 1;
        if usize::from(*digit) < base {
            return;
        }
        *digit = 0;
    }
    digits.push(0);
}

#[test]
fn every_short_sequence_of_tokens_is_read_as_serde_json_reads_it() {
    let tokens = ["{", "}", "[", "]", ":", ",", "\"id\"", "1"];
    assert!(compare_all(&tokens, 6, "{", "") > 5);
    assert!(compare_all(&tokens, 5, "{\"params\":[", "]}") > 10);
    assert!(compare_all(&tokens, 4, "{\"id\":", ",\"a\":1}") > 10);
}

#[test]
fn every_short_spelling_of_a_number_is_read_as_serde_json_reads_it() {
    let letters = ["-", "0", "1", ".", "e", "E", "+", " "];
    assert!(compare_all(&letters, 5, "{\"id\":", "}") > 100);
    assert!(compare_all(&letters, 4, "{\"params\":[2,", "]}") > 100);
}

#[test]
fn every_short_word_is_read_as_serde_json_reads_it() {
    let words = ["true", "null", "false", "nul", "l", "t", " ", "\"", "\u{c}", "\\"];
    assert!(compare_all(&words, 4, "{\"id\":", "}") > 10);
    assert!(compare_all(&words, 4, "{\"", "\":1}") > 10);
}
