"""Runs a plan: stage → commit → verify → publish. Array bytes are touched here and nowhere above."""
