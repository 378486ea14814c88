/** @file Images with their labels, boxes and masks, read one at a time. */

export interface Annotation {
	label: string;
	/** [x, y, width, height] in pixels of the file, as in COCO. */
	box: readonly [number, number, number, number];
	/** COCO polygons or run lengths, if the file has them. */
	segmentation?: unknown;
	crowd: boolean;
}

/** Under which terms an image may be used. */
export interface License {
	/** Number in the data set's own list. */
	id: number;
	name: string;
	/** Text of the terms; may be empty. */
	url: string;
}

export interface Category {
	id: number;
	name: string;
	supercategory?: string;
}

export interface Sample {
	/** Unique within the data set and stable: COCO's image id, or the file's name. */
	id: string;
	/** Absolute path of the image file. */
	path: string;
	/** Annotations in file pixels; undefined where the data set has none. */
	annotations?: readonly Annotation[];
	license?: License;
	/** Where the picture was published. */
	url?: string;
}

export interface Dataset {
	readonly name: string;
	/** sha256 over the annotation file, or over the file names. */
	readonly hash: string;
	/** Labels in the data set's own order (COCO: by category id). */
	readonly labels: readonly string[];
	readonly samples: readonly Sample[];
	/** COCO's categories by id; left out where the data set has none. */
	readonly categories?: readonly Category[];
}
