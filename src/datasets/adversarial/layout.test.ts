import { expect, it } from "vitest";
import { attackFolders, imageStems } from "./layout.ts";

it("gives every attack a folder of its own", () => {
	expect([...attackFolders(["pgd-4/255", "fgsm-0.05", "contest", "evaluate"]).values()]).toEqual([
		"pgd-4_255",
		"fgsm-0.05",
		"contest",
		"evaluate",
	]);
});

it.each(["test", "my-test", "val/2", "pgd_eval", "train-0.1", "a.dev", "pgd 1 test"])(
	"refuses %s, which datasets takes for a split",
	(name) => {
		expect(() => attackFolders([name])).toThrow(/does not name a split/);
	},
);

it.each([
	["two attacks in one folder", ["a/b", "a_b"]],
	["the clean images' folder", ["clean"]],
	["a hidden folder", [".a"]],
])("refuses %s", (_, names) => {
	expect(() => attackFolders(names)).toThrow(/another name with `as`/);
});

it("names files by COCO's ids, and by place where there are others", () => {
	expect(imageStems(["9", "581921"])).toEqual(["000000000009", "000000581921"]);
	expect(imageStems(["9", "test.png"])).toEqual(["000000000001", "000000000002"]);
	expect(imageStems(["9", "09"])).toEqual(["000000000001", "000000000002"]);
});
